//! Runs the cargo commands of a plan and hands over what they made. The only place that compiles.
//!
//! - What cargo made is what its `compiler-artifact` messages name, never a file that happens to lie in the target
//!   directory. A selected artifact that no message names is an error: cargo drops a `cdylib` that a target cannot make
//!   with a warning and exit code 0.
//! - Diagnostics and progress reach the user as cargo writes them: stderr is cargo's own, only stdout is read. Out of a sandbox
//!   they come by a pipe, in the colours that the caller's terminal shows, and without cargo's moving line.
//! - A failed command has told why, so the error adds only that it failed.
//! - Cargo runs in a process group of its own, and an interrupt of ours is sent to that group: cargo dies of a signal without
//!   telling its compilers and build scripts, which would go on for minutes. A terminal's Ctrl-C therefore reaches cargo
//!   through us.

pub mod check;
mod clock;
mod known;
mod units;

use std::io::{self, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;

use cargo_metadata::{BuildScript, Message, TargetKind};
use serde::Serialize;

use crate::build::hermetic::{HermeticError, Inside, Sandbox};
use crate::build::kinds::{Kind, Product};
use crate::build::plan::invocation::Invocation;
use crate::build::plan::{ImagePlan, Plan, TargetPlan};
use crate::build::sbom::unit::Unit;
use crate::build::toolchain::{announce, command};
use plugin_oci::environment::Environment;
use plugin_oci::failure::{Class, Failure};
use plugin_oci::fs::FileError;
use plugin_oci::fs::stamps::Hints;
use plugin_oci::interrupt;
use plugin_oci::progress::Progress;
use plugin_oci::values::platform::{Platform, split_glibc};

/// A file that cargo made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Artifact {
    /// The package's name.
    pub package: String,
    /// The target triple.
    pub target: String,
    pub platform: Platform,
    pub path: PathBuf,
    /// What the plugin is to its host.
    pub kind: Kind,
    /// Whether cargo had nothing to do for it.
    pub fresh: bool,
}

pub use known::alone;

/// What was compiled.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// One for each target of each image, in the plan's order.
    pub artifacts: Vec<Artifact>,
    /// All that cargo compiled for them, now or before.
    pub units: Vec<Unit>,
}

/// Runs the commands. A hermetic build begins with nothing, or finds everything as it was: [`alone`] is to be held meanwhile, and
/// as long as the artifacts are read.
pub fn compile(plan: &Plan, env: &Environment, progress: &dyn Progress) -> Result<Compiled, CompileError> {
    let Some(sandbox) = &plan.hermetic else { return make(plan, env, progress) };
    let hints = Hints::open(&plan.records.join(known::FILE), env);
    let recall = |fact: &str| {
        let (paths, units) = known::recall(fact, sandbox)?;
        let targets = plan.images.iter().flat_map(|image| image.targets.iter().map(move |target| (image, target)));
        let artifacts: Vec<Artifact> =
            targets.zip(&paths).map(|((image, target), path)| artifact(image, target, path, true)).collect();
        (artifacts.len() == paths.len()).then_some(Compiled { artifacts, units })
    };
    let make = || {
        known::empty(sandbox)?;
        make(plan, env, progress)
    };
    let show = |made: &Compiled| known::show(made.artifacts.iter().map(|artifact| artifact.path.as_path()), &made.units);
    let compiled = hints.known_or(known::fingerprint(plan, sandbox), recall, make, show)?;
    hints.save();
    Ok(compiled)
}

fn artifact(image: &ImagePlan, target: &TargetPlan, path: &Path, fresh: bool) -> Artifact {
    Artifact {
        package: image.package.clone(),
        target: target.target.clone(),
        platform: target.platform.clone(),
        path: path.to_owned(),
        kind: image.kind,
        fresh,
    }
}

fn make(plan: &Plan, env: &Environment, progress: &dyn Progress) -> Result<Compiled, CompileError> {
    let mut made = Made::default();
    if let Some(fetch) = &plan.fetch {
        run(fetch, plan.fetching.as_ref(), env, progress).map_err(|error| match error {
            CompileError::Cargo { status } => CompileError::Fetch { status },
            error => error,
        })?;
    }
    for invocation in &plan.invocations {
        let Made { artifacts, scripts } = run(invocation, plan.hermetic.as_ref(), env, progress)?;
        made.artifacts.extend(artifacts);
        made.scripts.extend(scripts);
    }
    if let Some(sandbox) = &plan.hermetic {
        // A build script can speak for cargo, and name any directory.
        made.scripts.retain(|script| known::is_made_in(script.out_dir.as_std_path(), sandbox));
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
            artifacts.push(artifact(image, target, &path, fresh));
        }
    }
    Ok(Compiled { artifacts, units: units::units(plan, &made.artifacts) })
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
    interrupt::own_group(&mut command);
    announce(&command, progress);
    let program = || invocation.program.clone();
    let child = match sandbox {
        Some(sandbox) => {
            let args = [invocation.args.as_slice(), &colour(&invocation.args, env)].concat();
            sandbox.spawn(&Inside { program: None, args: &args, env: &invocation.env, cwd: &invocation.cwd })?
        }
        None => command.spawn().map_err(|source| CompileError::Start { program: program(), source })?,
    };
    let _watched = interrupt::Child::watch(child.id());
    let mut running = Running(child);
    let said = running.0.stderr.take().map(|stderr| thread::spawn(move || pass_on(stderr)));
    let read = |source| CompileError::Messages { program: program(), source };
    let mut made = Made::default();
    if let Some(stdout) = running.0.stdout.take() {
        for message in Message::parse_stream(BufReader::new(Lines { inner: stdout, length: 0 })) {
            match message.map_err(read)? {
                Message::CompilerArtifact(artifact) => made.artifacts.push(artifact),
                Message::BuildScriptExecuted(script) => made.scripts.push(script),
                _ => {}
            }
        }
    }
    let status = running.0.wait().map_err(read)?;
    // With the sandbox all who could write to it have ended.
    if let Some(said) = said {
        drop(said.join());
    }
    if status.success() { Ok(made) } else { Err(CompileError::Cargo { status }) }
}

/// The flag by which cargo says things as it would on the caller's terminal, which it cannot see from inside.
fn colour(args: &[String], env: &Environment) -> Vec<String> {
    let is_told = args.iter().any(|arg| arg == "--color" || arg.starts_with("--color=")) || env.os("CARGO_TERM_COLOR").is_some();
    let can_show = io::stderr().is_terminal() && env.os("NO_COLOR").is_none() && env.text("TERM") != Some("dumb");
    if can_show && !is_told { vec!["--color".to_owned(), "always".to_owned()] } else { Vec::new() }
}

/// Shows what a sandbox says.
fn pass_on(mut stderr: impl Read) {
    drop(io::copy(&mut stderr, &mut io::stderr()));
}

/// Lines of a bounded length: a build script may write into cargo's pipe.
struct Lines<R> {
    inner: R,
    length: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const LONGEST: usize = 16 << 20;
        let count = self.inner.read(buffer)?;
        let last = buffer[..count].iter().rposition(|byte| *byte == b'\n');
        self.length = last.map_or(self.length + count, |at| count - at - 1);
        if self.length > LONGEST {
            return Err(io::Error::other("a line of more than 16 MiB"));
        }
        Ok(count)
    }
}

/// A cargo at work. Dropped before its end (an error, a panic), it is stopped: nobody would read what it makes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            interrupt::ask_to_stop(self.0.id());
            #[cfg(not(unix))]
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

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
    Start { program: PathBuf, source: io::Error },
    /// The sandbox could not be put up.
    #[error("{0}")]
    Hermetic(#[from] HermeticError),
    /// What an earlier hermetic build left could not be removed.
    #[error("{0}")]
    File(#[from] FileError),
    /// What would be emptied holds something else than what a build left.
    #[error("{} is not empty, and no target directory", directory.display())]
    Occupied { directory: PathBuf },
    /// Cargo's messages could not be read.
    #[error("failed to read the messages of `{}`", program.display())]
    Messages { program: PathBuf, source: io::Error },
    /// Cargo failed, and has told why.
    #[error("cargo failed ({status})")]
    Cargo { status: ExitStatus },
    /// Cargo could not fetch, and has told why.
    #[error("cargo could not fetch the sources ({status})")]
    Fetch { status: ExitStatus },
    /// Cargo succeeded without making what was asked for.
    #[error("cargo made no {} of package `{package}` for {target}", describe(product))]
    Absent { package: String, product: Product, target: String },
}

fn describe(product: &Product) -> String {
    match product {
        Product::Bin(name) => format!("binary `{name}`"),
        Product::Lib(name) => format!("dynamic library `{name}`"),
    }
}

impl Failure for CompileError {
    fn class(&self) -> Class {
        if let Self::Hermetic(error) = self { error.class() } else { Class::Failed }
    }
}
