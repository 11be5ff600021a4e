//! Which packages a build is about, by cargo's rules and one of ours.
//!
//! - `-p` names packages (`name`, `name@version`, or a glob); they need no table.
//! - `--workspace` takes every member, less `--exclude`; no flag takes the package of the manifest at hand, or the
//!   workspace's default members. When more than one package is at hand this way, those are plugins that carry
//!   `[package.metadata.plugin-build]`, which may be empty, or a `plugin-build.toml`; the others are passed over. A lone package needs no table, and
//!   neither does one whose binary `--bin` names.
//! - Of several, `--bin` takes those that have such a binary.

use std::path::PathBuf;

use cargo_metadata::{Metadata, Package};
use globset::Glob;

use super::error::PluginError;
use super::facts::PackageFacts;
use super::flags::BuildFlags;
use super::tables;
use crate::build::toolchain::metadata;
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::progress::Progress;

/// The name of a file with the keys of the table.
pub const SETTINGS: &str = "plugin-build.toml";

/// Chooses packages, sorted by name.
pub(super) fn select<'m>(
    workspace: &'m Metadata,
    flags: &BuildFlags,
    env: &Environment,
    progress: &dyn Progress,
) -> Result<Vec<&'m Package>, Error> {
    let members = workspace.workspace_packages();
    let mut chosen: Vec<&Package> = if flags.packages.is_empty() {
        let at_hand = if flags.workspace { without(&members, flags, progress)? } else { at_hand(workspace, flags, env) };
        let lone = at_hand.len() == 1;
        let is_named = |package: &&Package| flags.bin.as_ref().is_some_and(|bin| has_bin(package, bin));
        let (plugins, others): (Vec<&Package>, Vec<&Package>) =
            at_hand.into_iter().partition(|package| lone || has_table(package) || is_named(package));
        for other in others {
            if other.metadata.as_object().is_some_and(|tables| tables.keys().any(|name| tables::is_misspelt(name))) {
                tables::read(other.manifest_path.as_std_path(), "package")?;
            }
            progress.detail(format!("passing over {}: no [package.metadata.plugin-build]", other.name));
        }
        plugins
    } else {
        let mut chosen = Vec::new();
        for spec in &flags.packages {
            chosen.extend(matching(&members, spec, workspace)?);
        }
        chosen
    };
    if let Some(bin) = &flags.bin {
        let having = with_bin(&chosen, bin);
        if !having.is_empty() {
            chosen = having;
        }
    }
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    chosen.dedup_by(|a, b| a.id == b.id);
    if chosen.is_empty() {
        let root = workspace.workspace_root.clone().into_std_path_buf();
        return Err(PluginError::NothingSelected { root, members: names(&members) }.into());
    }
    Ok(chosen)
}

/// Those that have a binary of a name.
pub(super) fn with_bin<'m>(packages: &[&'m Package], bin: &str) -> Vec<&'m Package> {
    packages.iter().copied().filter(|package| has_bin(package, bin)).collect()
}

fn has_bin(package: &Package, bin: &str) -> bool {
    package.targets.iter().any(|target| target.is_bin() && target.name == bin)
}

fn has_table(package: &Package) -> bool {
    package.metadata.get("plugin-build").is_some() || settings(package).is_some()
}

/// The file that stands for a table, or over it, where the manifest is somebody else's.
pub(super) fn settings(package: &Package) -> Option<PathBuf> {
    let file = metadata::directory(package).join(SETTINGS);
    file.is_file().then_some(file)
}

fn names(members: &[&Package]) -> Vec<String> {
    let mut names: Vec<String> = members.iter().map(|package| package.name.to_string()).collect();
    names.sort();
    names
}

/// Every member less `--exclude`; an exclusion that matches nothing is told, as cargo does.
fn without<'m>(members: &[&'m Package], flags: &BuildFlags, progress: &dyn Progress) -> Result<Vec<&'m Package>, Error> {
    let mut left = members.to_vec();
    for spec in &flags.exclude {
        let before = left.len();
        let matcher = Spec::parse(spec)?;
        left.retain(|package| !matcher.matches(&package.name, &package.version));
        if left.len() == before {
            progress.warn(format!("excluded package `{spec}` is not a member of the workspace"), None);
        }
    }
    Ok(left)
}

/// The package whose manifest was named or found upwards of the working directory, or the default members.
fn at_hand<'m>(metadata: &'m Metadata, flags: &BuildFlags, env: &Environment) -> Vec<&'m Package> {
    let manifest: Option<PathBuf> = match &flags.manifest_path {
        Some(path) => Some(env.resolve(path)),
        None => env.cwd.ancestors().map(|directory| directory.join("Cargo.toml")).find(|file| file.is_file()),
    };
    let manifest = manifest.map(|path| path.canonicalize().unwrap_or(path));
    let root = metadata.workspace_root.join("Cargo.toml").into_std_path_buf();
    let root = root.canonicalize().unwrap_or(root);
    let same = |package: &&Package| {
        let path = package.manifest_path.as_std_path();
        manifest.as_ref().is_some_and(|manifest| path.canonicalize().is_ok_and(|path| path == *manifest))
    };
    if manifest.as_ref() != Some(&root)
        && let Some(package) = metadata.workspace_packages().into_iter().find(same)
    {
        return vec![package];
    }
    if metadata.workspace_default_members.is_available() {
        metadata.workspace_default_packages()
    } else {
        metadata.workspace_packages()
    }
}

fn matching<'m>(members: &[&'m Package], spec: &str, metadata: &Metadata) -> Result<Vec<&'m Package>, Error> {
    let matcher = Spec::parse(spec)?;
    let found: Vec<&Package> =
        members.iter().copied().filter(|package| matcher.matches(&package.name, &package.version)).collect();
    if found.is_empty() {
        return Err(PluginError::UnknownPackage {
            spec: spec.to_owned(),
            root: metadata.workspace_root.clone().into_std_path_buf(),
            members: names(members),
        }
        .into());
    }
    Ok(found)
}

/// Whether `-p SPEC` would choose a package.
pub fn names_package(spec: &str, package: &PackageFacts) -> Result<bool, Error> {
    Ok(Spec::parse(spec)?.matches(&package.name, &package.version))
}

/// A package specification: the part of cargo's grammar that can name a workspace member.
struct Spec {
    name: globset::GlobMatcher,
    version: Option<String>,
}

impl Spec {
    fn parse(text: &str) -> Result<Self, Error> {
        let (name, version) = match text.split_once('@').or_else(|| text.split_once(':')) {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (text, None),
        };
        let glob = Glob::new(name).map_err(|error| PluginError::Flag { flag: "-p", detail: error.to_string() })?;
        Ok(Self { name: glob.compile_matcher(), version })
    }

    fn matches(&self, name: &str, version: &semver::Version) -> bool {
        self.name.is_match(name) && self.version.as_ref().is_none_or(|wanted| *wanted == version.to_string())
    }
}
