//! What cargo says that it compiled, fresh or not.

use std::collections::BTreeSet;
use std::path::Path;

use cargo_metadata::{Artifact, TargetKind};

use crate::build::plan::Plan;
use crate::build::sbom::unit::Unit;
use plugin_oci::values::platform::split_glibc;

/// The units of cargo's messages. A message does not tell the target: the directory of its files does.
pub(super) fn units(plan: &Plan, artifacts: &[Artifact]) -> Vec<Unit> {
    let targets = plan.images.iter().flat_map(|image| &image.targets).map(|target| split_glibc(&target.target).0);
    let targets: BTreeSet<&str> = targets.collect();
    let is_below = |file: &Path, target: &str| {
        [&plan.target_directory, &plan.build_directory].iter().any(|directory| file.starts_with(directory.join(target)))
    };
    let unit = |artifact: &Artifact| {
        let lies_in = |target: &&&str| artifact.filenames.iter().any(|file| is_below(file.as_std_path(), target));
        Unit {
            package: artifact.package_id.repr.clone(),
            target: targets.iter().find(lies_in).map(|target| (*target).to_owned()),
            features: artifact.features.iter().cloned().collect(),
            manifest: artifact.manifest_path.clone().into(),
        }
    };
    // A build script has its package's features and no users.
    let libraries = artifacts.iter().filter(|artifact| !artifact.target.is_kind(TargetKind::CustomBuild));
    libraries.map(unit).collect::<BTreeSet<Unit>>().into_iter().collect()
}
