//! What cargo and the compiler say of a workspace.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, Package};
use serde::Serialize;

use super::{BuildFlags, ForeignPackage, Plugin};
use crate::build::hermetic::{Ground, Output, Sandbox};
use crate::build::toolchain::ask::{Ask, Question};
use crate::build::toolchain::config::{CargoConfig, config_arguments};
use crate::build::toolchain::find::outside;
use crate::build::toolchain::metadata::{self, MetadataOptions};
use crate::build::toolchain::rustc::{self, Rustc};
use crate::build::toolchain::{ToolchainError, cargo};
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::fs::stamps;
use plugin_oci::progress::Progress;
use plugin_oci::values::platform::split_glibc;

/// The answers.
pub(super) struct Asked {
    /// `cargo metadata`, without dependencies.
    pub metadata: Metadata,
    /// The compiler.
    pub rustc: Rustc,
    /// Packages from git, other registries and outside paths.
    pub foreign: Vec<ForeignPackage>,
    /// What sandboxes stand on, under `--hermetic`.
    pub ground: Option<Ground>,
    /// Where the questions were put, under `--hermetic`.
    pub questions: Option<Sandbox>,
    /// How cargo was asked.
    pub options: MetadataOptions,
}

/// Asks cargo and the compiler, at the same time; under `--hermetic` in a sandbox.
pub(super) fn ask(flags: &BuildFlags, config: &CargoConfig, env: &Environment, progress: &dyn Progress) -> Result<Asked, Error> {
    let ground = ground(flags, config, env, progress)?;
    let questions = ground.as_ref().map(Ground::questions).transpose()?;
    let place = place(questions.as_ref(), env);
    let mut options = metadata_options(flags, env);
    let mut compiler = rustc::program(config.rustc(), env);
    // A toolchain's own compiler says what it is outside: two fixed questions, in which the sources have no word.
    let calm = outside(env);
    let mut compilers_place = place;
    if let Some(ground) = &ground {
        options.cargo.clone_from(&ground.toolchain.cargo);
        if config.rustc() == ground.own_config().rustc() {
            compiler.clone_from(&ground.toolchain.rustc);
            compilers_place = &calm;
        }
    }
    let asked_metadata = metadata::ask(&options, place, progress)?;
    let asked_rustc = rustc::ask(compiler, compilers_place, progress)?;
    let metadata = asked_metadata.answer()?;
    let target = metadata.target_directory.as_std_path();
    if let Some(ground) = &ground {
        let build = metadata.build_directory.as_ref().map_or(target, |directory| directory.as_std_path());
        ground.check(Output { target, build, is_given: flags.target_dir.is_some() })?;
    }
    let hints = target.join(stamps::DIRECTORY);
    let rustc = asked_rustc.answer(&hints, env, compilers_place, progress)?;

    let mut asked = Asked { metadata, rustc, foreign: Vec::new(), ground, questions, options };
    let mut packages = asked.metadata.packages.clone();
    if !metadata::lock_is_plain(&asked.metadata) {
        packages = asked.full(flags, None, env, progress)?.packages;
    }
    asked.foreign = foreign(&packages, asked.metadata.workspace_root.as_std_path());
    Ok(asked)
}

/// What cargo says of packages and directories alone: without a compiler, a lock file or a network. Under `--hermetic` in a
/// sandbox all the same.
pub(super) fn packages(flags: &BuildFlags, env: &Environment, progress: &dyn Progress) -> Result<Metadata, Error> {
    let config = CargoConfig::load(env, &flags.cargo_args)?;
    let ground = ground(flags, &config, env, progress)?;
    let questions = ground.as_ref().map(Ground::questions).transpose()?;
    let mut options = metadata_options(&BuildFlags { offline: true, ..flags.clone() }, env);
    if let Some(ground) = &ground {
        options.cargo.clone_from(&ground.toolchain.cargo);
    }
    Ok(metadata::ask(&options, place(questions.as_ref(), env), progress)?.answer()?)
}

/// What sandboxes stand on, under `--hermetic`.
fn ground(flags: &BuildFlags, config: &CargoConfig, env: &Environment, progress: &dyn Progress) -> Result<Option<Ground>, Error> {
    let manifest = flags.manifest_path.as_deref();
    let ground = flags.hermetic.then(|| Ground::find(manifest, config, &flags.cargo_args, env, progress));
    Ok(ground.transpose()?)
}

impl Asked {
    /// The full answer, for one target or all. Under `--hermetic` everything is fetched first, so that it needs no network.
    fn full(
        &mut self,
        flags: &BuildFlags,
        target: Option<&str>,
        env: &Environment,
        progress: &dyn Progress,
    ) -> Result<Metadata, Error> {
        let offline = "--offline".to_owned();
        if let Some(ground) = self.ground.as_ref().filter(|_| !flags.frozen && !self.options.args.contains(&offline)) {
            if !ground.is_vendored() {
                fetch(ground, &self.options, progress)?;
            }
            self.options.args.push(offline);
        }
        let options =
            MetadataOptions { platforms: target.iter().map(|target| (*target).to_owned()).collect(), ..self.options.clone() };
        Ok(metadata::full(&options, place(self.questions.as_ref(), env), progress)?)
    }

    /// The package of a name, where the lock file has one; of several the newest.
    pub(super) fn pinned(
        &mut self,
        name: &str,
        flags: &BuildFlags,
        env: &Environment,
        progress: &dyn Progress,
    ) -> Result<Option<Pinned>, Error> {
        let root = self.metadata.workspace_root.as_std_path();
        // Where there is no lock file yet, the full answer makes it.
        if root.join("Cargo.lock").is_file() && !metadata::locks(root, name) {
            return Ok(None);
        }
        let graph = self.full(flags, None, env, progress)?;
        let found = graph.packages.iter().filter(|package| package.name == name).max_by(|a, b| a.version.cmp(&b.version));
        Ok(found.map(|package| Pinned {
            name: package.name.to_string(),
            version: package.version.to_string(),
            directory: metadata::directory(package).to_owned(),
        }))
    }

    /// Whether a plugin depends on `const-random`, for one of its targets. Where the lock file has none, nobody is asked.
    pub(super) fn draws_random(
        &mut self,
        plugins: &[Plugin],
        flags: &BuildFlags,
        env: &Environment,
        progress: &dyn Progress,
    ) -> Result<bool, Error> {
        let name = "const-random";
        if !metadata::locks(self.metadata.workspace_root.as_std_path(), name) {
            return Ok(false);
        }
        for plugin in plugins {
            for target in &plugin.targets {
                let graph = self.full(flags, Some(split_glibc(target).0), env, progress)?;
                if metadata::reaches(&graph, &plugin.package.id, name) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// A package whose version the lock file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pinned {
    pub name: String,
    pub version: String,
    /// Where its sources lie.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// Where questions are put: in the sandbox, where there is one.
pub fn place<'a>(questions: Option<&'a Sandbox>, env: &'a Environment) -> &'a dyn Ask {
    match questions {
        Some(sandbox) => sandbox,
        None => env,
    }
}

/// Fetches every package, so that the full answer needs no network.
fn fetch(ground: &Ground, options: &MetadataOptions, progress: &dyn Progress) -> Result<(), Error> {
    let mut question = Question { told: true, ..Question::new(&options.cargo, &["fetch"]) };
    question.args.extend(options.args.iter().cloned());
    if let Some(path) = &options.manifest_path {
        question.args.extend(["--manifest-path".to_owned(), path.display().to_string()]);
    }
    let sandbox = ground.fetching()?;
    let output = question.put(&sandbox, progress)?.output();
    let output = output.map_err(|source| ToolchainError::Start { program: options.cargo.clone(), source })?;
    drop(std::io::stderr().write_all(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(ToolchainError::Fetch(output.status).into()) }
}

fn metadata_options(flags: &BuildFlags, env: &Environment) -> MetadataOptions {
    let mut args = flags.lock_args();
    args.extend(config_arguments(&flags.cargo_args).flat_map(|value| ["--config".to_owned(), value.to_owned()]));
    MetadataOptions {
        cargo: cargo(env),
        env: BTreeMap::new(),
        manifest_path: flags.manifest_path.clone(),
        target_dir: flags.target_dir.as_ref().map(|directory| env.resolve(directory)),
        args,
        feature_args: flags.feature_args(),
        platforms: Vec::new(),
        quiet: flags.quiet,
    }
}

/// Packages that lie neither in the workspace's directory nor in crates.io's part of `CARGO_HOME` or a vendor directory.
fn foreign(packages: &[Package], root: &Path) -> Vec<ForeignPackage> {
    let outside = packages.iter().filter(|package| !metadata::is_crates_io(package));
    let mut foreign: Vec<ForeignPackage> = outside
        .map(|package| ForeignPackage {
            name: package.name.to_string(),
            version: package.version.to_string(),
            directory: metadata::directory(package).to_owned(),
            is_path: package.source.is_none(),
        })
        .filter(|package| !(package.is_path && package.directory.starts_with(root)))
        .collect();
    foreign.sort();
    foreign
}
