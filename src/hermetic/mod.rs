//! `--hermetic`: cargo without a network, without the caller's secrets, and without a way out, on Linux.
//!
//! `cargo --offline` alone stops cargo's own downloads, and nothing else: a build script, a procedural macro or a linker
//! runs with all that its user may do.
//!
//! | threat | defence |
//! |---|---|
//! | sends or loads something over the network | a network namespace in which even the loopback is down |
//! | reads tokens from the environment | an allow-list of variables (`variables`) |
//! | reads `~/.netrc`, keys, cargo's credentials, a token in `.git/config` | a file system that has none of them ([`view`], `secrets`) |
//! | reads the environment or memory of other processes | a pid namespace with a `/proc` of its own |
//! | talks to an agent, a daemon, a container engine | their sockets are not in the file system; abstract ones belong to the network namespace |
//! | shared memory, semaphores, message queues | an ipc namespace, no `/dev/shm` |
//! | writes to sources, `~/.bashrc`, other builds, finished layouts | read-only mounts; `target/hermetic` and `/tmp` only, and landlock says so again |
//! | takes what an earlier, not hermetic build left in `target/` | a target directory of its own, the rest of `target/` is hidden |
//! | types into the caller's terminal | a session of its own, and landlock on `/proc/<pid>/fd` |
//! | runs before the sandbox is there, as or in the compiler, linker or helper that `.cargo/config.toml` names | what the sources bring is refused (`trust`) |
//! | keeps running | everything ends with pid 1 of the sandbox, and that with this program |
//!
//! Two phases: `cargo fetch --locked` with network and credentials, which runs nothing of what it fetches (left out where
//! all sources are vendored, and with `--offline`); then the build with `--frozen` in the sandbox. Every path is the same
//! inside as outside, so that the bytes are those of a plain build.
//!
//! It fails closed: [`Sandbox::check`] puts up a sandbox for a trial before anything is fetched or built, and a kernel
//! that will not is an error that names what blocks and what helps. No step is left out because it does not work.
//!
//! Not kept out: what the sources and fetched packages hold themselves, the clock, the machine's kind and speed
//! (`/proc/cpuinfo`), kernel keys of the caller's session, and bugs of the kernel.
//!
//! The image does not tell how it was built; the [`Statement`] goes to the provenance.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::failure::{Class, Explain};
use crate::toolchain::ToolchainError;

mod sandbox;
mod secrets;
mod trust;
mod variables;
pub mod view;

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod confine;
#[cfg(target_os = "linux")]
mod identity;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod protocol;
#[cfg(target_os = "linux")]
mod refusal;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod stages;
#[cfg(target_os = "linux")]
mod supervise;

pub use sandbox::{Inside, Sandbox, Wanted};
#[cfg(target_os = "linux")]
pub use stages::{Stage, VERB};
pub use trust::{check_sources, loaded, programs};

/// Where cargo writes under `--hermetic`, below the usual target directory.
pub const TARGET: &str = "hermetic";

/// What was allowed and what was enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The phases, each with its network.
    pub phases: Vec<Phase>,
    /// The kinds of namespaces that were new.
    pub namespaces: Vec<&'static str>,
    /// The landlock ABI in force.
    pub landlock_abi: u32,
    /// The names of the variables that cargo saw.
    pub environment: Vec<String>,
    /// What could be read, with the reason.
    pub read_only: Vec<Allowed>,
    /// What could be written.
    pub writable: Vec<Allowed>,
}

/// What a report says to others: nothing that tells this machine's paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Statement {
    /// The phases, each with its network.
    pub phases: Vec<Phase>,
    /// The kinds of namespaces that were new.
    pub namespaces: Vec<&'static str>,
    /// The landlock ABI in force.
    pub landlock_abi: u32,
    /// The names of the variables that cargo saw.
    pub environment: Vec<String>,
    /// What could be read.
    pub read_only: BTreeSet<view::Role>,
    /// What could be written.
    pub writable: BTreeSet<view::Role>,
}

impl Report {
    /// For the provenance.
    pub fn statement(&self) -> Statement {
        let roles = |allowed: &[Allowed]| allowed.iter().map(|allowed| allowed.role).collect();
        Statement {
            phases: self.phases.clone(),
            namespaces: self.namespaces.clone(),
            landlock_abi: self.landlock_abi,
            environment: self.environment.clone(),
            read_only: roles(&self.read_only),
            writable: roles(&self.writable),
        }
    }
}

/// One phase of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Phase {
    /// `fetch` or `build`.
    pub name: &'static str,
    /// Whether it had a network.
    pub network: bool,
}

/// A path that the build could see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Allowed {
    /// Why.
    pub role: view::Role,
    /// The path.
    pub path: PathBuf,
}

#[cfg(not(target_os = "linux"))]
impl Sandbox {
    /// There is none elsewhere.
    pub fn check(&self) -> Result<Report, HermeticError> {
        Err(HermeticError::NotLinux)
    }

    /// There is none elsewhere.
    pub fn spawn(&self, _command: &Inside<'_>) -> Result<std::process::Child, HermeticError> {
        Err(HermeticError::NotLinux)
    }
}

/// Why there is no hermetic build.
#[derive(Debug, thiserror::Error)]
pub enum HermeticError {
    /// Another system than Linux.
    #[error("`--hermetic` works on Linux only: it is made of namespaces and landlock")]
    NotLinux,
    /// What must be readable holds what must not be.
    #[error("{what} {} is HOME or CARGO_HOME itself: the build could read all secrets in it", path.display())]
    Exposed {
        /// What it is to the build.
        what: &'static str,
        /// The directory.
        path: PathBuf,
    },
    /// What the build may write is a link.
    #[error("the directory of the build, {}, is a link to {}, and the build could write there", path.display(), real.display())]
    Led {
        /// The directory.
        path: PathBuf,
        /// Where it leads.
        real: PathBuf,
    },
    /// The sources would run a program of theirs outside the sandbox.
    #[error("{}: `{key}` names `{program}`, and what the sources bring must not run outside the sandbox", file.display())]
    OwnProgram {
        /// The configuration file.
        file: PathBuf,
        /// The key.
        key: String,
        /// What it names.
        program: String,
    },
    /// Cargo's configuration cannot be read.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The system does not allow it.
    #[error("no hermetic build is possible here: {cause}")]
    Refused {
        /// What blocks.
        cause: String,
        /// What helps.
        cure: String,
    },
    /// A process of ours failed.
    #[error("failed to run the sandbox: {0}")]
    Broken(String),
}

impl Explain for HermeticError {
    fn class(&self) -> Class {
        match self {
            Self::NotLinux => Class::Usage,
            Self::Toolchain(error) => error.class(),
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotLinux => Some("build in a Linux machine, or leave `--hermetic` out".to_owned()),
            Self::Exposed { .. } => Some("move the sources into a directory of their own, or set HOME and CARGO_HOME".to_owned()),
            Self::Led { .. } => Some("remove the link, and look at who put it there".to_owned()),
            Self::OwnProgram { .. } => Some(
                "install it on the machine and name it by its name alone, or give it in your own CARGO_HOME/config.toml"
                    .to_owned(),
            ),
            Self::Toolchain(error) => error.hint(),
            Self::Refused { cure, .. } => Some(cure.clone()),
            Self::Broken(_) => None,
        }
    }
}
