//! What the manifests say: [`load`] turns flags and `Cargo.toml` into [`Plugin`]s.
//!
//! - [`flags`]: what the command line says.
//! - [`config`]: the keys of the metadata tables.
//! - [`tables`]: reading them with their lines.
//! - `select`: which packages.
//! - [`files`]: which files are packed.
//!
//! Flags win over `[package.metadata.plugin-build]`, that wins over `[workspace.metadata.plugin-build]`; tables merge by
//! key, lists are replaced whole. Nothing here compiles; all that is written is what the compiler said, for the next time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cargo_metadata::{Package, TargetKind};
use serde::Serialize;

use crate::build::hermetic::{Ground, Sandbox};
use crate::build::kinds::infer::{self, Traits};
use crate::build::kinds::{Kind, Product};
use crate::build::toolchain::ask::Ask;
use crate::build::toolchain::config::CargoConfig;
use crate::build::toolchain::metadata;
use crate::build::toolchain::rustc::Rustc;
use crate::hosts::cosmo::contract::directory;
use plugin_oci::documents::image::Execution;
use plugin_oci::environment::Environment;
use plugin_oci::progress::Progress;
use plugin_oci::stores::named;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::reference::{LocalReference, Reference};

mod asking;
pub mod config;
pub mod error;
pub mod files;
pub mod flags;
pub mod location;
mod select;
pub mod tables;

pub use error::PluginError;
pub use flags::{BuildFlags, Builder};
pub use select::names_package;

use asking::Asked;
use config::{Config, FileRule};
use files::{PackedFile, Roots};
use location::Location;
use tables::Located;

/// One plugin: what its package and the flags say, decided.
#[derive(Clone, Debug)]
pub struct Plugin {
    pub package: PackageFacts,
    pub name: String,
    /// What it is to its host.
    pub kind: Kind,
    /// What cargo builds.
    pub product: Product,
    /// The targets wanted; never empty.
    pub targets: Vec<String>,
    /// Files to pack, sorted by their path in the image.
    pub files: Vec<PackedFile>,
    /// What the image starts, when the user says so.
    pub entrypoint: Option<Vec<String>>,
    /// How it is started.
    pub execution: Execution,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The image to build on, local paths absolute.
    pub base: Option<Reference>,
    /// How layers are compressed.
    pub compression: Compression,
    /// Whether needed libraries are packed too.
    pub bundle_libs: bool,
    /// The contract's files, for `cosmo-router`.
    pub contract: Option<ContractFiles>,
    /// The targets that the sources and the configuration name, whatever the flags do.
    pub own_targets: Vec<String>,
    /// The product that the manifest decides on, whatever the flags do.
    pub own_product: Option<Product>,
}

/// What cargo tells about a package.
#[derive(Clone, Debug)]
pub struct PackageFacts {
    /// Cargo's identifier: the key of its messages.
    pub id: String,
    pub name: String,
    pub version: semver::Version,
    pub directory: PathBuf,
    /// `package.description`.
    pub description: Option<String>,
    /// `package.authors`.
    pub authors: Vec<String>,
    /// `package.license`.
    pub license: Option<String>,
    /// `package.homepage`.
    pub homepage: Option<String>,
    /// `package.repository`.
    pub repository: Option<String>,
    /// `package.documentation`.
    pub documentation: Option<String>,
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

impl ContractFiles {
    /// The files of a package that does not say where they lie.
    pub fn below(directory: &Path) -> Self {
        contract(None, directory)
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
    /// The plugins, sorted by package name; never empty.
    pub plugins: Vec<Plugin>,
    /// Whether one of them has `const-random` in its own graph.
    pub draws_random: bool,
    /// What sandboxes stand on, under `--hermetic`.
    pub ground: Option<Ground>,
    /// Where questions are put, under `--hermetic`.
    pub questions: Option<Sandbox>,
}

impl Workspace {
    /// Where questions about the sources are put.
    pub fn place<'a>(&'a self, env: &'a Environment) -> &'a dyn Ask {
        asking::place(self.questions.as_ref(), env)
    }
}

/// Loads the selected plugins. Asks cargo and rustc, at the same time; under `--hermetic` in a sandbox.
pub fn load(flags: &BuildFlags, env: &Environment, progress: &dyn Progress) -> Result<Workspace, PluginError> {
    if let Some(flag) = flags.contradiction() {
        return Err(PluginError::Contradiction { flag: flag.to_owned() });
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
        env,
        root: &root,
        target_directory: &target_directory,
        default_targets: default_targets(&cargo_config, &asked.rustc),
        workspace_table,
    };
    let selected = select::select(&metadata, flags, env, progress)?;
    let plugins = selected.into_iter().map(|package| loader.plugin(package)).collect::<Result<Vec<_>, _>>()?;
    names_differ(&plugins)?;
    let draws_random = asked.draws_random(&plugins, flags, env, progress)?;
    let members = metadata.workspace_packages().into_iter().map(|member| metadata::directory(member).to_owned()).collect();
    let Asked { rustc, foreign, ground, questions, .. } = asked;
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
        ground,
        questions,
    })
}

/// `build.target` where the user configured one, as for `cargo build`; else the host.
fn default_targets(config: &CargoConfig, rustc: &Rustc) -> Vec<String> {
    let configured = config.build_targets();
    if configured.is_empty() { vec![rustc.host.clone()] } else { configured }
}

fn names_differ(plugins: &[Plugin]) -> Result<(), PluginError> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for plugin in plugins {
        if let Some(first) = names.insert(&plugin.name, &plugin.package.name) {
            let (name, first) = (plugin.name.clone(), first.to_owned());
            return Err(PluginError::SameName { name, first, second: plugin.package.name.clone() });
        }
    }
    Ok(())
}

struct Loader<'a> {
    flags: &'a BuildFlags,
    env: &'a Environment,
    root: &'a Path,
    target_directory: &'a Path,
    default_targets: Vec<String>,
    workspace_table: Located,
}

impl Loader<'_> {
    fn plugin(&self, package: &Package) -> Result<Plugin, PluginError> {
        let package_table = tables::read(package.manifest_path.as_std_path(), "package")?;
        let tables = [&package_table, &self.workspace_table];
        let config = package_table.config.clone().over(self.workspace_table.config.clone());
        let place = |key: &str| find_place(tables, key, package);
        let facts = PackageFacts::of(package);
        let name = config.name.clone().unwrap_or_else(|| facts.name.clone());
        check_name(&name, &place("name"))?;
        check_texts(&config, &place)?;
        let config = self.flags.table().over(config);

        let base = config.base.as_ref().map(|text| self.base(text, &place("base"))).transpose()?;
        let mut traits = traits(package, &config, self.flags, &facts.directory);
        traits.targets = self.stated_targets(&config).unwrap_or_else(|| self.default_targets.clone());
        let kind = config.kind.map_or_else(|| infer::kind(&traits), Ok)?;
        let product = infer::product(kind, &traits)?;
        let own_product = infer::product(kind, &Traits { bin: config.bin.clone(), ..traits }).ok();
        let targets = self.targets(kind, &config, base.is_some())?;

        let rules: Vec<(FileRule, Location)> = config
            .files
            .iter()
            .flatten()
            .enumerate()
            .map(|(index, rule)| (rule.clone(), place(&format!("files[{index}].from"))))
            .collect();
        if kind == Kind::Wasm && !rules.is_empty() {
            let detail = "a wasm artifact holds exactly one module, so there is no place for other files".to_owned();
            return Err(PluginError::Value { place: place("files"), key: "files".to_owned(), detail });
        }
        let roots = Roots { workspace: self.root, package: &facts.directory, target_directory: self.target_directory };
        let files = files::resolve(&rules, roots)?;

        let contract = (kind == Kind::CosmoRouter).then(|| contract(config.contract.as_ref(), &facts.directory));
        if let Some(path) = contract.iter().flat_map(ContractFiles::paths).find(|path| !self.holds(path, &facts.directory)) {
            let detail = format!("{} leaves the workspace", path.display());
            return Err(PluginError::Value { place: place("contract"), key: "contract".to_owned(), detail });
        }
        Ok(Plugin {
            package: facts,
            name,
            kind,
            product,
            targets,
            files,
            entrypoint: config.entrypoint,
            execution: Execution {
                args: config.args.unwrap_or_default(),
                user: config.user,
                workdir: config.workdir,
                env: config.env.unwrap_or_default(),
                labels: config.labels.unwrap_or_default(),
            },
            annotations: config.annotations.unwrap_or_default(),
            base,
            compression: config.compression.unwrap_or_default(),
            bundle_libs: config.bundle_libs.unwrap_or(false),
            contract,
            own_targets: self.own_targets(kind, config.targets.as_ref()),
            own_product,
        })
    }

    /// Whether a file, by whatever links it is reached, lies in the workspace or the package. One that is not there is told
    /// later.
    fn holds(&self, file: &Path, package: &Path) -> bool {
        !file.exists() || files::lies_within(file, [self.root, package])
    }

    /// The targets that someone named: flags, else configuration. A platform counts through its target.
    fn stated_targets(&self, config: &Config) -> Option<Vec<String>> {
        if !self.flags.targets.is_empty() || !self.flags.platforms.is_empty() {
            let platforms = self.flags.platforms.iter().filter_map(|platform| platform.static_target().ok());
            return Some(self.flags.targets.iter().cloned().chain(platforms.map(str::to_owned)).collect());
        }
        config.targets.clone()
    }

    fn targets(&self, kind: Kind, config: &Config, has_base: bool) -> Result<Vec<String>, PluginError> {
        let mut targets = if self.flags.targets.is_empty() && self.flags.platforms.is_empty() {
            self.own_targets(kind, config.targets.as_ref())
        } else {
            self.flags.targets.clone()
        };
        for platform in &self.flags.platforms {
            targets.push(kind.target_of_platform(platform, has_base)?);
        }
        let mut seen = std::collections::BTreeSet::new();
        targets.retain(|target| seen.insert(target.clone()));
        Ok(targets)
    }

    /// Those that no flag names.
    fn own_targets(&self, kind: Kind, configured: Option<&Vec<String>>) -> Vec<String> {
        let default = || kind.default_target().map_or_else(|| self.default_targets.clone(), |target| vec![target.to_owned()]);
        configured.cloned().unwrap_or_else(default)
    }

    /// A base, its local path made absolute: a flag's starts at the working directory, a key's at its manifest.
    fn base(&self, text: &str, place: &Location) -> Result<Reference, PluginError> {
        let of_flag = self.flags.base.is_some();
        let origin = if of_flag { "--base".to_owned() } else { place.to_string() };
        let start = if of_flag { self.env.cwd.as_path() } else { place.path.parent().unwrap_or(self.root) };
        let parsed = named::image(text, start).map_err(|source| PluginError::Base { place: origin, source })?;
        let rooted = |local: LocalReference| LocalReference { path: start.join(&local.path), ..local };
        Ok(match parsed {
            Reference::Layout(local) => Reference::Layout(rooted(local)),
            Reference::Archive(local) => Reference::Archive(rooted(local)),
            Reference::Registry(registry) => Reference::Registry(registry),
        })
    }
}

/// Where a key stands: the package's table before the workspace's; the manifest's first line for what stands nowhere.
fn find_place(tables: [&Located; 2], key: &str, package: &Package) -> Location {
    let found = tables.iter().find_map(|table| table.place(key));
    let parent = || tables.iter().find_map(|table| table.place(key.split(['[', '.']).next().unwrap_or(key)));
    found.or_else(parent).unwrap_or_else(|| Location { path: package.manifest_path.clone().into(), line: 1 })
}

/// A name becomes a file name and part of a path: letters, digits, `.`, `_`, `-`, no dot or dash in front.
fn check_name(name: &str, place: &Location) -> Result<(), PluginError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !name.is_empty() && name.bytes().all(plain) && !name.starts_with(['.', '-']) {
        return Ok(());
    }
    let detail = format!("`{name}` is not a plain file name (letters, digits, `.`, `_`, `-`)");
    Err(PluginError::Value { place: place.clone(), key: "name".to_owned(), detail })
}

/// What would end up broken in an image config.
fn check_texts(config: &Config, place: &impl Fn(&str) -> Location) -> Result<(), PluginError> {
    let bad =
        |key: &str, detail: &str| Err(PluginError::Value { place: place(key), key: key.to_owned(), detail: detail.to_owned() });
    if config.workdir.as_ref().is_some_and(|workdir| !workdir.starts_with('/')) {
        return bad("workdir", "want an absolute path");
    }
    if config.targets.as_ref().is_some_and(Vec::is_empty) {
        return bad("targets", "want at least one target");
    }
    if config.entrypoint.as_ref().is_some_and(|words| words.first().is_none_or(String::is_empty)) {
        return bad("entrypoint", "want at least the program");
    }
    let is_user = |text: &String| text.split(':').count() <= 2 && text.split(':').all(|part| !part.is_empty());
    if config.user.as_ref().is_some_and(|user| !is_user(user) || user.contains(char::is_whitespace)) {
        return bad("user", "want `name`, `uid` or `uid:gid`");
    }
    for name in config.env.iter().flatten().map(|(name, _)| name) {
        if name.is_empty() || name.contains(['=', '\0']) {
            return bad(&format!("env.{name}"), "want a variable's name, without `=`");
        }
    }
    let maps = [("labels", &config.labels), ("annotations", &config.annotations)];
    match maps.iter().find(|(_, map)| map.as_ref().is_some_and(|map| map.contains_key(""))) {
        Some((key, _)) => bad(key, "want a key that is not empty"),
        None => Ok(()),
    }
}

fn traits(package: &Package, config: &Config, flags: &BuildFlags, directory: &Path) -> Traits {
    let of_kind = |kind: TargetKind| package.targets.iter().filter(move |target| target.is_kind(kind.clone()));
    let files = ContractFiles::below(directory);
    Traits {
        package: package.name.to_string(),
        bins: of_kind(TargetKind::Bin).map(|target| target.name.clone()).collect(),
        cdylib: of_kind(TargetKind::CDyLib).map(|target| target.name.clone()).next(),
        bin: flags.bin.clone().or_else(|| config.bin.clone()),
        default_run: package.default_run.clone(),
        targets: Vec::new(),
        uses_proxy_wasm: package.dependencies.iter().any(|dependency| dependency.name == "proxy-wasm"),
        has_contract: config.contract.is_some() || files.proto.is_file() && files.mapping.is_file(),
    }
}

fn contract(contract: Option<&config::Contract>, directory: &Path) -> ContractFiles {
    let contract = contract.cloned().unwrap_or_default();
    let file = |configured: Option<String>, default: &str| directory.join(configured.as_deref().unwrap_or(default));
    let lock_is_configured = contract.lock.is_some();
    let lock = file(contract.lock, directory::LOCK);
    ContractFiles {
        schema: file(contract.schema, directory::SCHEMA),
        proto: file(contract.proto, directory::PROTO),
        mapping: file(contract.mapping, directory::MAPPING),
        lock: (lock_is_configured || lock.is_file()).then_some(lock),
    }
}

impl PackageFacts {
    fn of(package: &Package) -> Self {
        Self {
            id: package.id.repr.clone(),
            name: package.name.to_string(),
            version: package.version.clone(),
            directory: metadata::directory(package).to_owned(),
            description: package.description.clone(),
            authors: package.authors.clone(),
            license: package.license.clone(),
            homepage: package.homepage.clone(),
            repository: package.repository.clone(),
            documentation: package.documentation.clone(),
        }
    }
}
