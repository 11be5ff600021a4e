//! The graphs of a plan, from what the last build found or from a question to cargo.
//!
//! A no-change build asks nothing. What decides about a graph: the units that were compiled, the lock file, and the manifests that
//! may change under one version, those of paths.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Facts, Graph, Platform, graphs};
use super::unit::Unit;
use crate::build::manifest;
use crate::build::plan::{ImagePlan, Plan, TargetPlan};
use crate::build::toolchain::ToolchainError;
use crate::build::toolchain::lock::Lock;
use crate::build::toolchain::metadata::{self, MetadataOptions};
use plugin_oci::environment::Environment;
use plugin_oci::fs::stamps::{Fingerprint, Hints};
use plugin_oci::progress::Progress;
use plugin_oci::values::platform::split_glibc;

/// The graphs of an image, in the order of its targets.
pub type ImageGraphs = Vec<Graph>;

/// What is asked for once, and only where an image's graphs are not known.
pub struct Recorder<'a> {
    plan: &'a Plan,
    units: &'a [Unit],
    lock: &'a Lock,
    env: &'a Environment,
    progress: &'a dyn Progress,
    found: OnceCell<BTreeMap<(String, String), Graph>>,
}

impl<'a> Recorder<'a> {
    /// Asks nothing yet.
    pub fn new(plan: &'a Plan, units: &'a [Unit], lock: &'a Lock, env: &'a Environment, progress: &'a dyn Progress) -> Self {
        Self { plan, units, lock, env, progress, found: OnceCell::new() }
    }

    /// The graphs of an image; `hints` are those of its layout.
    pub fn graphs(&self, image: &ImagePlan, hints: &Hints) -> Result<ImageGraphs, ToolchainError> {
        let find = || {
            if self.found.get().is_none() {
                drop(self.found.set(self.find()?));
            }
            let all = self.found.get().into_iter().flatten().collect::<BTreeMap<_, _>>();
            let of_target =
                |target: &TargetPlan| all.get(&(image.package_id.clone(), target.target.clone())).map(|graph| (*graph).clone());
            Ok(image.targets.iter().filter_map(of_target).collect())
        };
        let parse = |fact: &str| serde_json::from_str(fact).ok();
        hints.known_or(self.fingerprint(image), parse, find, |graphs| serde_json::to_string(graphs).ok())
    }

    fn fingerprint(&self, image: &ImagePlan) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        let targets: Vec<&String> = image.targets.iter().map(|target| &target.target).collect();
        let plugins: Vec<&String> = self.plan.images.iter().map(|image| &image.package_id).collect();
        fingerprint.text(&format!("graphs 1 of {} among {plugins:?} for {targets:?}", image.package_id));
        fingerprint.text(&self.plan.rustc.verbose_version);
        let mut manifests = BTreeSet::from([self.plan.workspace_root.join("Cargo.toml")]);
        for unit in self.units {
            fingerprint.text(&format!("{:?} {:?} {:?}", unit.package, unit.target, unit.features));
            if unit.package.starts_with("path+") {
                manifests.insert(unit.manifest.clone());
            }
        }
        for file in manifests.into_iter().chain([self.plan.workspace_root.join("Cargo.lock")]) {
            fingerprint.file(&file);
        }
        fingerprint
    }

    /// The graphs of all images and targets, by cargo's identifier of the package and by target.
    fn find(&self) -> Result<BTreeMap<(String, String), Graph>, ToolchainError> {
        let plan = self.plan;
        let place = manifest::place(plan.hermetic.as_ref(), self.env);
        let targets: BTreeSet<&str> = plan.images.iter().flat_map(|image| &image.targets).map(|t| t.target.as_str()).collect();
        let cfgs = |target: &str| {
            let triple = split_glibc(target).0.to_owned();
            Ok::<_, ToolchainError>(Platform { cfgs: plan.rustc.cfgs(&triple, place, self.progress)?, triple })
        };
        let host = cfgs(&plan.rustc.host)?;
        let platforms = targets.iter().map(|target| split_glibc(target).0.to_owned()).chain([host.triple.clone()]);
        let mut options = MetadataOptions { platforms: platforms.collect(), ..plan.question.clone() };
        let offline = "--offline".to_owned();
        let may_fetch = plan.hermetic.is_none() && !plan.offline;
        let asked = if may_fetch && !options.args.contains(&offline) {
            // Everything that was compiled is here. What only tests want may not be, and cargo wants it, too.
            let here = MetadataOptions { args: [options.args.as_slice(), &[offline]].concat(), ..options.clone() };
            metadata::quietly(&here, place, self.progress).or_else(|_| metadata::full(&options, place, self.progress))
        } else {
            if plan.hermetic.is_some() && !options.args.contains(&offline) {
                options.args.push(offline);
            }
            metadata::quietly(&options, place, self.progress)
        };
        let metadata = asked?;
        let (units, lock) = (self.units, self.lock);
        let facts = Facts { metadata: &metadata, units, lock, workspace: &plan.workspace_root, host: &host };
        let mut found = BTreeMap::new();
        for target in targets {
            let platform = cfgs(target)?;
            let plugins = plan.images.iter().filter(|image| image.targets.iter().any(|own| own.target == target));
            let plugins: Vec<&str> = plugins.map(|image| image.package_id.as_str()).collect();
            let keys = plugins.iter().map(|plugin| ((*plugin).to_owned(), target.to_owned()));
            found.extend(keys.zip(graphs(&facts, &plugins, &platform)));
        }
        Ok(found)
    }
}
