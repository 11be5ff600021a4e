//! From tables, flags and what cargo says to a [`Plugin`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Package, TargetKind};

use super::bases::Bases;
use super::config::{self, Base, Config, FileRule, Shape};
use super::files::{self, Roots};
use super::location::Location;
use super::tables::{self, Located};
use super::texts::{check_name, check_texts, is_plain, not_plain};
use super::{BuildFlags, ContractFiles, PackageFacts, Plugin, PluginError, select};
use crate::build::kinds::Kind;
use crate::build::kinds::infer::{self, Guest, Traits};
use crate::hosts::cosmo::contract::directory;
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::stores::named;
use plugin_oci::values::platform::{Platform, PlatformError};
use plugin_oci::values::reference::{LocalReference, Reference};

pub(super) struct Loader<'a> {
    pub flags: &'a BuildFlags,
    pub members: Vec<&'a Package>,
    pub env: &'a Environment,
    pub root: &'a Path,
    pub target_directory: &'a Path,
    pub host: &'a str,
    pub default_targets: Vec<String>,
    pub workspace_table: Located,
}

impl Loader<'_> {
    pub fn plugin(&self, package: &Package) -> Result<Plugin, Error> {
        let package_table = tables::read(package.manifest_path.as_std_path(), "package")?;
        let settings = self.settings(package)?;
        let tables = [&settings, &package_table, &self.workspace_table];
        let config = tables[0].config.clone().over(tables[1].config.clone()).over(tables[2].config.clone());
        let place = |key: &str| find_place(tables, key, package);
        let facts = PackageFacts::of(package);
        check_name(config.name.as_ref().unwrap_or(&facts.name), "name", &place)?;
        check_texts(&config, &place)?;
        let config = self.flags.table().over(config);
        let name = config.name.clone().unwrap_or_else(|| facts.name.clone());
        if !is_plain(&name) {
            return Err(PluginError::Flag { flag: "--name", detail: not_plain(&name) }.into());
        }

        let base = config.base.as_ref().map(|base| self.bases(base, &place)).transpose()?;
        let mut traits = traits(package, &self.members, &config, self.flags, &facts.directory);
        traits.targets = self.stated_targets(&config).unwrap_or_else(|| self.default_targets.clone());
        let kind = config.kind.map_or_else(|| infer::kind(&traits), Ok)?;
        let product = infer::product(kind, &traits)?;
        let guest = traits.guest;
        let targets = self.targets(kind, &config, base.as_ref(), guest)?;
        let own_product = infer::product(kind, &Traits { bin: config.bin.clone(), ..traits }).ok();
        check_place(kind, &config, &place)?;
        let is_named = config.name.is_some();
        if kind == Kind::Executable && !is_named {
            check_name(product.name(), "bin", &place)?;
        }

        let rules: Vec<(FileRule, Location)> = config
            .files
            .iter()
            .flatten()
            .enumerate()
            .map(|(index, rule)| (rule.clone(), place(&format!("files[{index}].from"))))
            .collect();
        if kind == Kind::Wasm && !rules.is_empty() {
            let detail = "a wasm artifact holds exactly one module, so there is no place for other files".to_owned();
            return Err(PluginError::Value { place: place("files"), key: "files".to_owned(), detail }.into());
        }
        let roots = Roots { workspace: self.root, package: &facts.directory, target_directory: self.target_directory };
        let files = files::resolve(&rules, roots)?;

        let contract = (kind == Kind::CosmoRouter).then(|| contract(config.contract.as_ref(), &facts.directory));
        if let Some(path) = contract.iter().flat_map(ContractFiles::paths).find(|path| !self.holds(path, &facts.directory)) {
            let detail = format!("{} leaves the workspace", path.display());
            return Err(PluginError::Value { place: place("contract"), key: "contract".to_owned(), detail }.into());
        }
        Ok(Plugin {
            package: facts,
            name,
            is_named,
            kind,
            product,
            targets,
            files,
            base,
            contract,
            own_targets: self.own_targets(kind, config.targets.as_ref(), guest),
            own_product,
            config,
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

    /// What lies beside the package for those who do not write into its manifest, or elsewhere by a flag.
    fn settings(&self, package: &Package) -> Result<Located, Error> {
        match &self.flags.settings {
            Some(file) => Ok(tables::read_file(&self.env.resolve(file))?),
            None => match select::settings(package) {
                Some(file) => Ok(tables::read_file(&file)?),
                None => Ok(Located::default()),
            },
        }
    }

    fn targets(&self, kind: Kind, config: &Config, base: Option<&Bases>, guest: Option<Guest>) -> Result<Vec<String>, Error> {
        let mut targets = if self.flags.targets.is_empty() && self.flags.platforms.is_empty() {
            self.own_targets(kind, config.targets.as_ref(), guest)
        } else {
            self.flags.targets.iter().map(|target| self.triple(target)).collect()
        };
        for platform in &self.flags.platforms {
            let has_base = base.is_some_and(|base| base.of(platform).is_some());
            targets.push(kind.target_of_platform(platform, has_base)?);
        }
        let mut seen = BTreeSet::new();
        targets.retain(|target| seen.insert(target.clone()));
        Ok(targets)
    }

    /// Those that no flag names: the manifest's, or those of `build.target` that suit the kind, or its host's, or the kind's own.
    fn own_targets(&self, kind: Kind, configured: Option<&Vec<String>>, guest: Option<Guest>) -> Vec<String> {
        if let Some(configured) = configured {
            return configured.iter().map(|target| self.triple(target)).collect();
        }
        let suiting: Vec<String> = self.default_targets.iter().filter(|target| kind.suits(target)).cloned().collect();
        if !suiting.is_empty() {
            return suiting;
        }
        let of_host = guest.map(|guest| guest.target).filter(|target| kind.suits(target));
        vec![of_host.or(kind.default_target()).unwrap_or(self.host).to_owned()]
    }

    /// A target as rustc knows it; cargo has a word for the host's.
    fn triple(&self, target: &str) -> String {
        if target == "host-tuple" { self.host } else { target }.to_owned()
    }

    fn bases(&self, base: &Base, place: &impl Fn(&str) -> Location) -> Result<Bases, Error> {
        let each = match base {
            Base::All(text) => return Ok(Bases::All(self.base(text, &place("base"))?)),
            Base::Each(each) => each,
        };
        let mut bases = BTreeMap::new();
        for (name, text) in each {
            let key = format!("base.{name}");
            let bad = |detail: String| PluginError::Value { place: place(&key), key: key.clone(), detail };
            let platform: Platform = name.parse().map_err(|error: PlatformError| bad(error.to_string()))?;
            bases.insert(platform, self.base(text, &place(&key))?);
        }
        Ok(Bases::Each(bases))
    }

    /// A base, its local path made absolute: a flag's starts at the working directory, a key's at its manifest.
    fn base(&self, text: &str, place: &Location) -> Result<Reference, Error> {
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

/// What only an image that starts something has a place for.
fn check_place(kind: Kind, config: &Config, place: &impl Fn(&str) -> Location) -> Result<(), Error> {
    let shape = config.shape.unwrap_or_default();
    let bad = |key: &str, detail: String| Err(PluginError::Value { place: place(key), key: key.to_owned(), detail }.into());
    if config.shape.is_some() && kind != Kind::Library {
        return bad("shape", format!("only the kind `library` has a choice, and this is a `{kind}`"));
    }
    if !(kind.is_wasm() || kind == Kind::Library && shape == Shape::Artifact) {
        return Ok(());
    }
    match config.keys_of_a_system().next() {
        Some(key) => bad(key, format!("nothing is started in the image of a `{kind}`, so there is no place for it")),
        None => Ok(()),
    }
}

/// Where a key stands: the file before the package's table before the workspace's; the manifest's first line for what stands nowhere.
fn find_place(tables: [&Located; 3], key: &str, package: &Package) -> Location {
    let found = tables.iter().find_map(|table| table.place(key));
    let parent = || tables.iter().find_map(|table| table.place(key.split(['[', '.']).next().unwrap_or(key)));
    found.or_else(parent).unwrap_or_else(|| Location { path: package.manifest_path.clone().into(), line: 1 })
}

fn traits(package: &Package, members: &[&Package], config: &Config, flags: &BuildFlags, directory: &Path) -> Traits {
    let of_kind = |kind: TargetKind| package.targets.iter().filter(move |target| target.is_kind(kind.clone()));
    let files = ContractFiles::below(directory);
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    let normal = normal.map(|dependency| (dependency.name.as_str(), dependency.target.is_none() && !dependency.optional));
    let with_bin = flags.bin.as_ref().map(|bin| select::with_bin(members, bin)).unwrap_or_default();
    Traits {
        package: package.name.to_string(),
        bins: of_kind(TargetKind::Bin).map(|target| target.name.clone()).collect(),
        cdylib: of_kind(TargetKind::CDyLib).map(|target| target.name.clone()).next(),
        bin: flags.bin.clone().or_else(|| config.bin.clone()),
        with_bin: with_bin.iter().map(|member| member.name.to_string()).collect(),
        default_run: package.default_run.clone(),
        targets: Vec::new(),
        guest: Guest::of(&normal.collect::<Vec<_>>()),
        has_contract: config.contract.is_some() || files.proto.is_file() && files.mapping.is_file(),
    }
}

pub(super) fn contract(contract: Option<&config::Contract>, directory: &Path) -> ContractFiles {
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
