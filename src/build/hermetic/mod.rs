//! `--hermetic`: cargo without a network, without the caller's secrets, and without a way out, on Linux.
//!
//! `cargo --offline` alone stops cargo's own downloads, and nothing else: a build script, a procedural macro or a linker
//! runs with all that its user may do.
//!
//! # What sources may reach, and nothing else
//!
//! Sources are everything that a checkout holds or names: manifests, `.cargo/config.toml` and what it includes,
//! `rust-toolchain.toml`, build scripts, procedural macros, and all that these start.
//!
//! | they may | where |
//! |---|---|
//! | say which of the caller's toolchains builds | by a name that rustup has installed or linked, never by a directory |
//! | say where packages come from | `cargo fetch`, which runs nothing of theirs; with tokens for no registry but those whose index the caller names |
//! | have any program run, as wrapper, compiler, linker or build script | in a sandbox without network, whatever asks for it: the build, `cargo metadata`, a question to the compiler or linker |
//! | read themselves | [`Sources`]: the workspace, its packages and vendored sources, within one repository, and what git tracks of that (`checkout`) |
//! | read the toolchain, the system's programs and libraries, what was fetched, cargo's and git's configuration without secrets | read-only |
//! | read the linkers and C compilers of the caller | those that a variable, `CARGO_HOME` or `PATH` names; no directory becomes readable because sources name a program in it |
//! | ask git | as outside, but for URLs, which may hold tokens: `git remote get-url` fails |
//! | write | `target/hermetic`, which each build finds empty, and a `/tmp` that is gone afterwards |
//! | put words into stdout and stderr of cargo | by pipes |
//! | use the processor, memory and disk | until the limit of `--timeout` |
//!
//! What runs outside is this program, which reads the sources' files as data, and `rustup which rustc` and the two questions
//! `rustc -vV` and `rustc --print sysroot`, put to the caller's own compiler without wrappers or flags, in `/`.
//! (Whoever starts this as `cargo plugin-build` by rustup's proxy has let that choose and start a cargo before: for sources
//! that bring a toolchain start `cargo-plugin-build` itself.)
//!
//! | threat | defence |
//! |---|---|
//! | sends or loads something over the network | a network namespace in which even the loopback is down |
//! | reads tokens from the environment | an allow-list of variables (`variables`) |
//! | reads `~/.netrc`, keys, cargo's credentials, a token in `.git/config` | a file system that has none of them ([`view`], `secrets`) |
//! | reads the environment or memory of other processes, or takes their files | a pid namespace with a `/proc` of its own, no `ptrace`, `pidfd_getfd` and their kin (`calls`) |
//! | talks to an agent, a daemon, a container engine | their sockets are not in the file system; abstract ones belong to the network namespace |
//! | talks to the hypervisor, or to the kernel where it is seldom tried | seccomp: few families of sockets, no `io_uring`, BPF, `userfaultfd` .. (`calls`) |
//! | uses keys of the caller's session | a new session keyring, and no call that knows of keys |
//! | shared memory, semaphores, message queues | an ipc namespace, no `/dev/shm` |
//! | writes to sources, `~/.bashrc`, other builds, finished layouts | read-only mounts; `target/hermetic` and `/tmp` only, and landlock says so again |
//! | takes what an earlier build left, hermetic or not | a target directory of its own, emptied before each build; the rest of `target/` is hidden |
//! | makes this program believe what an earlier build found out | records lie where no hermetic build can write, and name artifacts by digest |
//! | types into the caller's terminal, or reads what is typed there | a session of its own, pipes instead of it, and landlock on `/proc/<pid>/fd` |
//! | runs before the sandbox is there | all that the sources' configuration decides about is asked in one ([`Ground`]) |
//! | keeps running | everything ends with pid 1 of the sandbox, and that with this program, and that at its limit |
//!
//! Three sandboxes, each a mount of the same few places: for questions, for `cargo fetch --locked`, which alone has the network
//! and the caches of `CARGO_HOME` to write to (left out where all sources are vendored, and with `--offline`), and for the build
//! with `--frozen`. Every path is the same inside as outside, so that the bytes are those of a plain build. A build that has
//! something to do does all of it; one in which nothing has changed does nothing (`compile`).
//!
//! It fails closed: a sandbox is put up before anything is asked, and [`Sandbox::check`] once more before anything is built;
//! a kernel that will not is an error that names what blocks and what helps. No step is left out because it does not work.
//!
//! Not kept out: what the sources and fetched packages hold themselves, requests of `cargo fetch` to any server that the
//! sources name, the clock, the machine's kind and speed (`/proc/cpuinfo`), and bugs of the kernel. Not to be had: credential
//! helpers, SSH agents and git's own configuration while fetching.
//!
//! The image does not tell how it was built; the [`Statement`] goes to the provenance.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Child;

use serde::Serialize;

use crate::build::toolchain::ToolchainError;
use crate::build::toolchain::ask::{Ask, Question};
use plugin_oci::failure::{Class, Failure};

mod checkout;
mod sandbox;
mod secrets;
mod sources;
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

pub use sandbox::{Ground, Inside, Output, Sandbox, WantedLinker};
pub use sources::Sources;
#[cfg(target_os = "linux")]
pub use stages::{Stage, VERB};

/// Where cargo writes under `--hermetic`, below the usual target directory.
pub const TARGET: &str = "hermetic";

/// What was allowed and what was enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Enforced {
    /// The phases, each with its network.
    pub phases: Vec<Phase>,
    /// The kinds of namespaces that were new.
    pub namespaces: Vec<&'static str>,
    /// The landlock ABI in force.
    pub landlock_abi: u32,
    /// Whether system calls were restricted.
    pub seccomp: bool,
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
    /// Whether system calls were restricted.
    pub seccomp: bool,
    /// The names of the variables that cargo saw.
    pub environment: Vec<String>,
    /// What could be read.
    pub read_only: BTreeSet<view::Role>,
    /// What could be written.
    pub writable: BTreeSet<view::Role>,
}

impl Enforced {
    /// For the provenance.
    pub fn statement(&self) -> Statement {
        let roles = |allowed: &[Allowed]| allowed.iter().map(|allowed| allowed.role).collect();
        Statement {
            phases: self.phases.clone(),
            namespaces: self.namespaces.clone(),
            landlock_abi: self.landlock_abi,
            seccomp: self.seccomp,
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
    pub path: PathBuf,
}

impl Ask for Sandbox {
    fn start(&self, question: &Question<'_>) -> Result<Child, ToolchainError> {
        let cwd = &self.cwd;
        let inside = Inside { program: Some(question.program), args: &question.args, env: &question.env, cwd };
        self.spawn(&inside).map_err(|error| ToolchainError::Refused(Box::new(error)))
    }
}

#[cfg(not(target_os = "linux"))]
impl Sandbox {
    /// There is none elsewhere.
    pub fn check(&self) -> Result<Enforced, HermeticError> {
        Err(HermeticError::NotLinux)
    }

    /// There is none elsewhere.
    pub fn spawn(&self, _command: &Inside<'_>) -> Result<Child, HermeticError> {
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
    Exposed { what: &'static str, path: PathBuf },
    /// What the build may write is a link.
    #[error("the directory of the build, {}, is a link to {}, and the build could write there", path.display(), real.display())]
    Led { path: PathBuf, real: PathBuf },
    /// The sources name something that is not theirs.
    #[error("{what} {} is not of these sources: it lies outside of {}", path.display(), within.display())]
    Foreign {
        what: &'static str,
        path: PathBuf,
        /// What belongs to the sources.
        within: PathBuf,
    },
    /// The sources name a linker outside of themselves and the system.
    #[error("the sources name the linker {}, which is neither theirs nor the system's: it would make a directory readable", program.display())]
    OwnProgram { program: PathBuf },
    /// Cargo's configuration cannot be read.
    #[error("{0}")]
    Toolchain(#[from] ToolchainError),
    /// The system does not allow it.
    #[error("no hermetic build is possible here: {cause}")]
    Refused { cause: String, cure: String },
    /// A process of ours failed.
    #[error("failed to run the sandbox: {0}")]
    Broken(String),
}

impl Failure for HermeticError {
    fn class(&self) -> Class {
        match self {
            Self::NotLinux => Class::Usage,
            Self::Toolchain(error) => error.class(),
            _ => Class::Failed,
        }
    }
}
