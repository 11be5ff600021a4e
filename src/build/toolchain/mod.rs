//! What the user's cargo, rustc and linker say about themselves.
//!
//! - [`ask`]: where they are asked: here, or in a sandbox.
//! - [`find`]: which toolchain it is, before anything of the sources is looked at.
//! - [`config`]: cargo's own configuration, as far as it decides about bytes: rustflags, linkers, replaced sources.
//! - [`lock`]: its lock file.
//! - [`metadata`]: `cargo metadata`.
//! - [`rustc`]: the compiler's version, sysroot, and which targets it has a standard library for.
//! - [`linker`]: which linker a target gets, whether it is there, and its facts for the provenance.
//!
//! Everything here asks; nothing here builds or writes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use plugin_oci::environment::Environment;
use plugin_oci::failure::{Class, Failure};
use plugin_oci::progress::{Event, Progress};

pub mod ask;
pub mod config;
pub mod find;
pub mod linker;
pub mod lock;
pub mod metadata;
pub mod rustc;

/// A command in the given environment and nothing else of this process's.
pub fn command(program: impl AsRef<std::ffi::OsStr>, env: &Environment) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(env.vars()).current_dir(&env.cwd);
    command
}

/// Tells that a process was started.
pub fn announce(command: &Command, progress: &dyn Progress) {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text: Vec<_> = words.map(std::ffi::OsStr::to_string_lossy).collect();
    progress.event(Event::Spawned { command: text.join(" ") });
}

/// The cargo that called us, or the one on `PATH`.
pub fn cargo(env: &Environment) -> PathBuf {
    env.path("CARGO").unwrap_or_else(|| PathBuf::from("cargo"))
}

/// `CARGO_HOME`, or its default below the home directory.
pub fn cargo_home(env: &Environment) -> Option<PathBuf> {
    match env.path("CARGO_HOME") {
        Some(home) => Some(env.resolve(&home)),
        None => home(env).map(|home| home.join(".cargo")),
    }
}

/// The home directory.
pub fn home(env: &Environment) -> Option<PathBuf> {
    env.path("HOME").or_else(|| env.path("USERPROFILE"))
}

/// The file that a program name means: itself when it is a path, else the first on `PATH`.
pub fn find_program(name: &Path, env: &Environment) -> Option<PathBuf> {
    if name.components().count() > 1 {
        let path = env.resolve(name);
        return path.is_file().then_some(path);
    }
    let path = env.os("PATH")?;
    std::env::split_paths(path)
        .map(|directory| env.resolve(&directory).join(name))
        .flat_map(|file| [file.with_extension("exe"), file])
        .find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

/// Why the toolchain could not be asked, or cannot do what is wanted.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// A program could not be started.
    #[error("failed to start `{}`", program.display())]
    Start { program: PathBuf, source: io::Error },
    /// `cargo metadata` refused; cargo's own words.
    #[error("{0}")]
    Metadata(String),
    /// `cargo metadata` failed and has told why on stderr.
    #[error("`cargo metadata` failed ({0})")]
    MetadataTold(std::process::ExitStatus),
    /// The place where programs run cannot be had.
    #[error("{0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The sources bring a toolchain.
    #[error("the sources choose the toolchain of {}, which is none that rustup has installed or linked", rustc.display())]
    Brought { rustc: PathBuf },
    /// `cargo fetch` failed and has told why on stderr.
    #[error("`cargo fetch` failed ({0})")]
    Fetch(std::process::ExitStatus),
    /// A tool said something that cannot be read.
    #[error("failed to understand `{command}`: {detail}")]
    Answer {
        command: String,
        /// What is wrong with the answer.
        detail: String,
    },
    /// A cargo configuration file cannot be read.
    #[error("failed to read cargo's configuration {}", path.display())]
    Config { path: PathBuf, source: io::Error },
    /// A cargo configuration file is not what cargo wants.
    #[error("{place}: {detail}")]
    ConfigContent {
        /// File and line, or the flag.
        place: String,
        detail: String,
    },
    /// The compiler knows no such target.
    #[error("target `{target}` is none that rustc knows")]
    UnknownTarget { target: String, nearest: Option<String> },
    /// The compiler has no standard library for the target.
    #[error("target `{target}` is not installed: {} has no standard library for it", sysroot.display())]
    NoStd { target: String, sysroot: PathBuf, cure: String },
    /// The linker is not there, or links for another machine.
    #[error("target `{target}` cannot be linked: {reason}")]
    NoLinker {
        target: String,
        reason: String,
        cure: String,
        /// Whether cargo-zigbuild could link instead.
        zig: bool,
    },
    /// `--builder zigbuild` without the tool.
    #[error("`--builder zigbuild` wants cargo-zigbuild, and there is none on PATH")]
    NoZigbuild,
}

impl Failure for ToolchainError {
    fn class(&self) -> Class {
        match self {
            Self::Metadata(_) | Self::ConfigContent { .. } | Self::UnknownTarget { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }
}
