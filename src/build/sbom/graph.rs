//! The packages of one target, and why each is there.
//!
//! `cargo metadata` resolves for all members, kinds and features at once, so its edges are more than those of a build. An edge
//! counts where the package above was compiled with the feature that turns the dependency on, the dependency is for this
//! platform, and the package below was compiled on that side: for the target, or for what runs while building. From a plugin
//! down, what is reached for the target is linked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::cargo_platform::Cfg;
use cargo_metadata::{Dependency, DependencyKind, Metadata, Node, Package as Found};
use serde::{Deserialize, Serialize};

use super::purl;
use super::unit::Unit;
use crate::build::toolchain::lock::Lock;

/// What a package is to the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Linked into the artifact.
    Required,
    /// Part of its build alone: build scripts, procedural macros and what only they use.
    Excluded,
}

/// A package that was compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub purl: String,
    pub scope: Scope,
    /// The licence as the manifest states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The name of the file with the licence, where the manifest names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_file: Option<String>,
    /// SHA-256 of the `.crate` file, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// The commit, for one from git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The packages that it uses, by purl, sorted.
    pub dependencies: Vec<String>,
}

/// The packages of one target of one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// The plugin's own package, by purl.
    pub root: String,
    /// All packages, the plugin's among them, sorted by purl.
    pub packages: Vec<Package>,
}

/// A target, and the settings by which dependencies are chosen for it.
#[derive(Clone, Debug)]
pub struct Platform {
    pub triple: String,
    pub cfgs: Vec<Cfg>,
}

/// What cargo says of the workspace and of its work.
pub struct Facts<'a> {
    pub metadata: &'a Metadata,
    pub units: &'a [Unit],
    pub lock: &'a Lock,
    pub workspace: &'a Path,
    /// Where what runs while building runs.
    pub host: &'a Platform,
}

/// The graphs of one target for several plugins, named by cargo's identifiers of their packages. What was compiled for the target
/// and no plugin is found to use is in all of them: better one crate too many than one too few.
pub fn graphs(facts: &Facts<'_>, plugins: &[&str], target: &Platform) -> Vec<Graph> {
    let index = Index::of(facts);
    let mut walks: Vec<Walk> = plugins.iter().map(|plugin| index.walk(plugin, facts, target)).collect();
    let compiled = facts.units.iter().filter(|unit| unit.target.as_deref() == Some(&target.triple));
    let reached: BTreeSet<&str> = walks.iter().flat_map(|walk| walk.linked.iter().copied()).collect();
    let others = compiled.map(|unit| unit.package.as_str()).filter(|id| index.packages.contains_key(id) && !reached.contains(id));
    let others: Vec<&str> = others.filter(|id| !plugins.contains(id)).collect();
    for (walk, plugin) in walks.iter_mut().zip(plugins) {
        walk.linked.extend(&others);
        walk.edges.extend(others.iter().map(|other| (*plugin, *other)));
    }
    plugins.iter().zip(&walks).map(|(plugin, walk)| index.graph(plugin, walk, facts)).collect()
}

/// What a walk from a plugin found, by cargo's identifiers.
#[derive(Default)]
struct Walk<'a> {
    linked: BTreeSet<&'a str>,
    building: BTreeSet<&'a str>,
    edges: BTreeSet<(&'a str, &'a str)>,
}

struct Index<'a> {
    packages: BTreeMap<&'a str, &'a Found>,
    nodes: BTreeMap<&'a str, &'a Node>,
    /// Features by package and target.
    units: BTreeMap<(&'a str, Option<&'a str>), BTreeSet<&'a str>>,
}

impl<'a> Index<'a> {
    fn of(facts: &Facts<'a>) -> Self {
        let packages = facts.metadata.packages.iter().map(|package| (package.id.repr.as_str(), package)).collect();
        let nodes = facts.metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
        let nodes = nodes.map(|node| (node.id.repr.as_str(), node)).collect();
        let mut units: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for unit in facts.units {
            let features = units.entry((unit.package.as_str(), unit.target.as_deref())).or_default();
            features.extend(unit.features.iter().map(String::as_str));
        }
        Self { packages, nodes, units }
    }

    fn walk(&self, plugin: &str, facts: &Facts<'a>, target: &'a Platform) -> Walk<'a> {
        let mut walk = Walk::default();
        let Some((id, _)) = self.packages.get_key_value(plugin) else { return walk };
        let triple = Some(target.triple.as_str());
        let mut next = vec![(*id, triple)];
        walk.linked.insert(id);
        while let Some((id, side)) = next.pop() {
            let (Some(package), Some(node)) = (self.packages.get(id), self.nodes.get(id)) else { continue };
            let features = self.units.get(&(id, side)).cloned().unwrap_or_default();
            let platform = if side.is_some() { target } else { facts.host };
            for below in &node.deps {
                let Some((below, found)) = self.packages.get_key_value(below.pkg.repr.as_str()) else { continue };
                for dependency in declared(package, found) {
                    let (side, platform) = match dependency.kind {
                        DependencyKind::Normal => (side, platform),
                        DependencyKind::Build => (None, facts.host),
                        _ => continue,
                    };
                    let fits = dependency.target.as_ref().is_none_or(|wanted| wanted.matches(&platform.triple, &platform.cfgs));
                    if !fits || dependency.optional && !turns_on(package, dependency, &features) {
                        continue;
                    }
                    // A procedural macro is compiled for the host alone, whoever uses it.
                    let sides = [side, None].into_iter().find(|side| self.units.contains_key(&(*below, *side)));
                    let Some(side) = sides else { continue };
                    walk.edges.insert((id, below));
                    let seen = if side.is_some() { &mut walk.linked } else { &mut walk.building };
                    if seen.insert(below) {
                        next.push((below, side));
                    }
                }
            }
        }
        walk
    }

    fn graph(&self, plugin: &str, walk: &Walk<'_>, facts: &Facts<'_>) -> Graph {
        let name = |id: &str| self.packages.get(id).map(|package| purl::of(package, facts.workspace));
        let package = |id: &&str| {
            let found = self.packages.get(id)?;
            let source = found.source.as_ref().map(|source| source.repr.as_str());
            let version = found.version.to_string();
            let below = walk.edges.iter().filter(|(above, _)| above == id);
            let below: BTreeSet<String> = below.filter_map(|(_, below)| name(below)).collect();
            Some(Package {
                purl: purl::of(found, facts.workspace),
                scope: if walk.linked.contains(id) { Scope::Required } else { Scope::Excluded },
                license: found.license.clone(),
                license_file: found.license_file.as_ref().and_then(|file| file.file_name()).map(str::to_owned),
                checksum: source.and_then(|source| facts.lock.checksum(&found.name, &version, source)).map(str::to_owned),
                commit: source.and_then(purl::commit).map(str::to_owned),
                dependencies: below.into_iter().collect(),
                name: found.name.to_string(),
                version,
            })
        };
        let mut packages: Vec<Package> = walk.linked.union(&walk.building).filter_map(package).collect();
        packages.sort_by(|a, b| a.purl.cmp(&b.purl));
        Graph { root: name(plugin).unwrap_or_default(), packages }
    }
}

/// The lines of a manifest that a resolved dependency may come from: those whose requirement it meets, or all of its name where
/// a requirement says nothing (a path's or a commit's pre-release).
fn declared<'a>(package: &'a Found, below: &Found) -> Vec<&'a Dependency> {
    let named: Vec<&Dependency> = package.dependencies.iter().filter(|dependency| dependency.name == *below.name).collect();
    let meets: Vec<&Dependency> = named.iter().copied().filter(|dependency| dependency.req.matches(&below.version)).collect();
    if meets.is_empty() { named } else { meets }
}

/// Whether a feature that is on turns an optional dependency on. `cargo metadata` writes the feature of its name out.
fn turns_on(package: &Found, dependency: &Dependency, features: &BTreeSet<&str>) -> bool {
    let name = dependency.rename.as_ref().unwrap_or(&dependency.name);
    let (of_name, within) = (format!("dep:{name}"), format!("{name}/"));
    let values = features.iter().filter_map(|feature| package.features.get(*feature)).flatten();
    features.contains(name.as_str()) && !package.features.contains_key(name) || { values }
        .any(|value| *value == of_name || value.starts_with(&within) || value == name)
}
