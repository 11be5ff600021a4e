//! Runs the cargo commands of a plan and hands over what they made. The only place that compiles.
//!
//! - What cargo made is what its `compiler-artifact` messages name, never a file that happens to lie in the target
//!   directory. A selected artifact that no message names is an error: cargo drops a `cdylib` that a target cannot make
//!   with a warning and exit code 0.
//! - Diagnostics and progress reach the user as cargo writes them: stderr is cargo's own, only stdout is read.
//! - A failed command has told why, so the error adds only that it failed.
//! - Cargo runs in a process group of its own, and an interrupt of ours is sent to that group: cargo dies of a signal without
//!   telling its compilers and build scripts, which would go on for minutes. A terminal's Ctrl-C therefore reaches cargo
//!   through us.

pub mod check;
mod clock;

use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use cargo_metadata::{BuildScript, Message, TargetKind};
use serde::Serialize;

use crate::environment::Environment;
use crate::failure::{Class, Explain};
use crate::hermetic::{HermeticError, Inside, Sandbox};
use crate::interrupt::on_interrupt;
use crate::kind::{Kind, Product};
use crate::plan::Plan;
use crate::plan::invocation::Invocation;
use crate::platform::{Platform, split_glibc};
use crate::progress::Progress;
use crate::toolchain::{announce, command};

/// A file that cargo made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Artifact {
    /// The package's name.
    pub package: String,
    /// The target triple.
    pub target: String,
    /// Its platform.
    pub platform: Platform,
    /// The file.
    pub path: PathBuf,
    /// What the plugin is to its host.
    pub kind: Kind,
    /// Whether cargo had nothing to do for it.
    pub fresh: bool,
}

/// Runs the commands; one artifact for each target of each image, in the plan's order.
pub fn compile(plan: &Plan, env: &Environment, progress: &dyn Progress) -> Result<Vec<Artifact>, CompileError> {
    let mut made = Made::default();
    if let Some(fetch) = &plan.fetch {
        run(fetch, None, env, progress)?;
    }
    for invocation in &plan.invocations {
        let Made { artifacts, scripts } = run(invocation, plan.hermetic.as_ref(), env, progress)?;
        made.artifacts.extend(artifacts);
        made.scripts.extend(scripts);
    }
    clock::warn(&made.scripts, progress);
    let mut artifacts = Vec::new();
    for image in &plan.images {
        for target in &image.targets {
            let wanted = Wanted { package_id: &image.package_id, product: &image.product, target: &target.target, plan };
            let (path, fresh) = wanted.find(&made.artifacts).ok_or_else(|| CompileError::Absent {
                package: image.package.clone(),
                product: image.product.clone(),
                target: target.target.clone(),
            })?;
            artifacts.push(Artifact {
                package: image.package.clone(),
                target: target.target.clone(),
                platform: target.platform.clone(),
                path,
                kind: image.kind,
                fresh,
            });
        }
    }
    Ok(artifacts)
}

/// What cargo told of its work.
#[derive(Default)]
struct Made {
    artifacts: Vec<cargo_metadata::Artifact>,
    scripts: Vec<BuildScript>,
}

/// Runs one command, in the sandbox where there is one.
fn run(
    invocation: &Invocation,
    sandbox: Option<&Sandbox>,
    env: &Environment,
    progress: &dyn Progress,
) -> Result<Made, CompileError> {
    let mut command = command(&invocation.program, env);
    command.args(&invocation.args).envs(&invocation.env).current_dir(&invocation.cwd);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    own_group(&mut command);
    announce(&command, progress);
    let program = || invocation.program.clone();
    let child = match sandbox {
        Some(sandbox) => sandbox.spawn(&Inside { args: &invocation.args, env: &invocation.env, cwd: &invocation.cwd })?,
        None => command.spawn().map_err(|source| CompileError::Start { program: program(), source })?,
    };
    let pid = child.id();
    let mut running = Running(child);
    let _registration = on_interrupt(move || stop(pid));
    let read = |source| CompileError::Messages { program: program(), source };
    let mut made = Made::default();
    if let Some(stdout) = running.0.stdout.take() {
        for message in Message::parse_stream(BufReader::new(stdout)) {
            match message.map_err(read)? {
                Message::CompilerArtifact(artifact) => made.artifacts.push(artifact),
                Message::BuildScriptExecuted(script) => made.scripts.push(script),
                _ => {}
            }
        }
    }
    let status = running.0.wait().map_err(read)?;
    if status.success() { Ok(made) } else { Err(CompileError::Cargo { status }) }
}

/// A cargo at work. Dropped before its end (an error, a panic), it is stopped: nobody would read what it makes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            stop(self.0.id());
            #[cfg(not(unix))]
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Lets cargo lead a process group.
#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

/// Asks cargo and everything it started to stop.
#[cfg(unix)]
fn stop(pid: u32) {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;
    if let Ok(pid) = i32::try_from(pid) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// Elsewhere the console's own Ctrl-C reaches cargo.
#[cfg(not(unix))]
fn stop(_pid: u32) {}

/// One artifact of a plan.
struct Wanted<'a> {
    package_id: &'a str,
    product: &'a Product,
    target: &'a str,
    plan: &'a Plan,
}

impl Wanted<'_> {
    /// The file that the messages name, and whether it was fresh.
    fn find(&self, made: &[cargo_metadata::Artifact]) -> Option<(PathBuf, bool)> {
        made.iter().filter(|artifact| self.is_of(artifact)).find_map(|artifact| Some((self.file(artifact)?, artifact.fresh)))
    }

    fn is_of(&self, artifact: &cargo_metadata::Artifact) -> bool {
        let kind = match self.product {
            Product::Bin(_) => TargetKind::Bin,
            Product::Lib(_) => TargetKind::CDyLib,
        };
        artifact.package_id.repr == self.package_id
            && artifact.target.is_kind(kind)
            && artifact.target.name == self.product.name()
    }

    /// The one file that is the product, and lies in its target's directory: a message does not tell the target.
    fn file(&self, artifact: &cargo_metadata::Artifact) -> Option<PathBuf> {
        let below = |path: &PathBuf| path.starts_with(self.plan.target_directory.join(split_glibc(self.target).0));
        if self.product.is_bin() {
            let executable = artifact.executable.clone().map(PathBuf::from);
            // Emscripten and some embedded targets name no executable for a `bin`; wasm does.
            return executable.or_else(|| artifact.filenames.first().map(PathBuf::from)).filter(below);
        }
        let is_library = |path: &&PathBuf| {
            path.extension().is_some_and(|extension| ["so", "dylib", "dll", "wasm"].iter().any(|known| extension == *known))
        };
        let files: Vec<PathBuf> = artifact.filenames.iter().map(PathBuf::from).collect();
        files.iter().filter(is_library).find(|path| below(path)).cloned()
    }
}

/// Why there are no artifacts.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Cargo could not be started.
    #[error("failed to start `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The sandbox could not be put up.
    #[error(transparent)]
    Hermetic(#[from] HermeticError),
    /// Cargo's messages could not be read.
    #[error("failed to read the messages of `{}`", program.display())]
    Messages {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Cargo failed, and has told why.
    #[error("cargo failed ({status})")]
    Cargo {
        /// How it ended.
        status: ExitStatus,
    },
    /// Cargo succeeded without making what was asked for.
    #[error("cargo made no {} of package `{package}` for {target}", describe(product))]
    Absent {
        /// The package.
        package: String,
        /// What was asked for.
        product: Product,
        /// The target.
        target: String,
    },
}

fn describe(product: &Product) -> String {
    match product {
        Product::Bin(name) => format!("binary `{name}`"),
        Product::Lib(name) => format!("dynamic library `{name}`"),
    }
}

impl Explain for CompileError {
    fn class(&self) -> Class {
        if let Self::Hermetic(error) = self { error.class() } else { Class::Failed }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Hermetic(error) => error.hint(),
            Self::Absent { product: Product::Lib(_), .. } => {
                Some("the target may know no dynamic libraries; cargo's warnings above tell".to_owned())
            }
            Self::Absent { .. } => Some("its `required-features` may not be enabled: see `--features`".to_owned()),
            _ => None,
        }
    }
}
