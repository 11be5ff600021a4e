//! Which toolchain builds, without starting anything that the sources could have brought.
//!
//! The caller says it: `RUSTC` and `CARGO`, `build.rustc` in `CARGO_HOME`, or `PATH`. Where a proxy stands there that chooses
//! by a `rust-toolchain.toml`, its manager is asked for the name that the file means; a file that means a directory
//! (`path = ..`) would bring its own compiler, so that only what the manager has installed or linked is taken.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::config::CargoConfig;
use super::rustc::{beside_cargo, is_toolchains};
use super::{ToolchainError, announce, cargo, command, find_program, home};
use plugin_oci::environment::Environment;
use plugin_oci::progress::Progress;

/// A toolchain on this disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The directory that holds its `bin` and `lib`.
    pub root: PathBuf,
    /// Its cargo, no proxy.
    pub cargo: PathBuf,
    /// Its compiler, no proxy: the caller's own program where `RUSTC` names one.
    pub rustc: PathBuf,
}

/// The environment for a program that runs outside of the sandbox: nothing of it is the sources'.
pub fn outside(env: &Environment) -> Environment {
    let mut env = env.clone();
    env.cwd = PathBuf::from("/");
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS"] {
        env.set(name, "");
    }
    env
}

/// Finds it. `own` is the caller's configuration without that of the sources.
pub fn find(own: &CargoConfig, env: &Environment, progress: &dyn Progress) -> Result<Toolchain, ToolchainError> {
    let named = own.rustc().or_else(|| beside_cargo(env)).unwrap_or_else(|| PathBuf::from("rustc"));
    let start = |source| ToolchainError::Start { program: named.clone(), source };
    let found = find_program(&named, env).ok_or_else(|| start(std::io::ErrorKind::NotFound.into()))?;
    let rustc = if is_proxy(&found) { chosen(&found, env, progress)? } else { found };
    let root = match rustc.parent().and_then(Path::parent) {
        Some(root) if is_toolchains(&rustc) => root.to_owned(),
        _ => PathBuf::from(first_line(&rustc, &["--print", "sysroot"], &outside(env), progress)?),
    };
    let own = root.join("bin/cargo");
    let cargo = match find_program(&cargo(env), env) {
        Some(named) if !is_proxy(&named) => named,
        Some(named) if !own.is_file() => named,
        _ => own,
    };
    Ok(Toolchain { root, cargo, rustc })
}

/// A proxy that chooses a toolchain lies beside the program that manages them, and in no toolchain.
fn is_proxy(program: &Path) -> bool {
    !is_toolchains(program) && program.parent().is_some_and(|directory| directory.join("rustup").exists())
}

/// The compiler that a proxy would start here.
fn chosen(proxy: &Path, env: &Environment, progress: &dyn Progress) -> Result<PathBuf, ToolchainError> {
    let manager = proxy.with_file_name("rustup");
    let mut asking = outside(env);
    asking.cwd.clone_from(&env.cwd);
    let rustc = PathBuf::from(first_line(&manager, &["which", "rustc"], &asking, progress)?);
    let homes = env.path("RUSTUP_HOME").map(|home| env.resolve(&home)).or_else(|| home(env).map(|home| home.join(".rustup")));
    let is_below = |home: PathBuf| {
        let place = rustc.strip_prefix(home.join("toolchains")).ok();
        place.is_some_and(|place| place.components().all(|part| matches!(part, std::path::Component::Normal(_))))
    };
    if homes.is_some_and(is_below) { Ok(rustc) } else { Err(ToolchainError::Brought { rustc }) }
}

/// The first line that a program of the caller says.
fn first_line(program: &Path, args: &[&str], env: &Environment, progress: &dyn Progress) -> Result<String, ToolchainError> {
    let mut command = command(program, env);
    command.args(args).stdin(Stdio::null());
    announce(&command, progress);
    let output = command.output().map_err(|source| ToolchainError::Start { program: program.to_owned(), source })?;
    let line = String::from_utf8_lossy(&output.stdout).lines().next().map(str::trim).unwrap_or_default().to_owned();
    if output.status.success() && Path::new(&line).is_absolute() {
        return Ok(line);
    }
    let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ToolchainError::Answer { command: format!("{} {}", program.display(), args.join(" ")), detail })
}
