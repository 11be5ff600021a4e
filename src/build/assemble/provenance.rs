//! How an image came to be, for the provenance attachment: what was asked, what went in, and with which tools.
//!
//! The facts about tools never get into the image itself: where they make no difference, the digest must not show them.
//! Where they do, they are the first thing that a failed rebuild looks at.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::base::ResolvedBase;
use super::statement::{Dependency, Provenance};
use crate::build::hermetic::Enforced;
use crate::build::manifest;
use crate::build::plan::annotations::SOURCE_KEY;
use crate::build::plan::rustflags::is_linux_gnu;
use crate::build::plan::{ImagePlan, Plan};
use crate::build::sbom::graph::Graph;
use crate::build::sbom::purl;
use crate::build::toolchain::linker::LinkerFacts;
use crate::build::toolchain::lock::Lock;
use plugin_oci::attachments;
use plugin_oci::environment::Environment;
use plugin_oci::fs::stamps::Hints;
use plugin_oci::progress::Progress;
use plugin_oci::stores::{Source as Store, StoreError, read_blob};
use plugin_oci::values::digest::Digest;

/// Says how to read the parameters.
pub const BUILD_TYPE: &str = "https://cargo-plugin-build.dev/build/v1";
/// Whoever ran this program; who that was is for a signature to say.
const BUILDER: &str = "https://cargo-plugin-build.dev/builder/v1";
/// The most bytes of a statement that are read back.
const STATEMENT_LIMIT: u64 = 16 << 20;

/// The tools whose bytes or decisions end up in artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Toolchain {
    /// `rustc -vV`.
    pub rustc: String,
    /// The linker of each target.
    pub linkers: BTreeMap<String, LinkerFacts>,
}

impl Toolchain {
    /// Asks the linkers of an image's targets, unless `hints` know what they say.
    pub fn of(plan: &Plan, image: &ImagePlan, hints: &Hints, env: &Environment, progress: &dyn Progress) -> Self {
        let place = manifest::place(plan.hermetic.as_ref(), env);
        let is_seen = |path: &Path| {
            let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            plan.hermetic.as_ref().is_none_or(|sandbox| sandbox.view.shows(&real))
        };
        let facts = image.targets.iter().filter_map(|target| {
            let linker = plan.linkers.get(&target.target)?;
            let static_gnu = target.must_be_static && is_linux_gnu(&target.target);
            Some((target.target.clone(), linker.facts(static_gnu, (place, env), is_seen, hints, progress)))
        });
        Self { rustc: plan.rustc.verbose_version.trim().to_owned(), linkers: facts.collect() }
    }

    /// What the provenance attached to an image says; `None` where there is none of ours. Of several, the first that is.
    pub fn recorded(source: &dyn Store, subject: &Digest) -> Result<Option<Self>, StoreError> {
        for manifest in attachments::find(source, subject, Provenance::ARTIFACT_TYPE)? {
            let Some(layer) = manifest.layers.first() else { continue };
            let statement = plugin_oci::documents::json::parse(&read_blob(source, layer, STATEMENT_LIMIT)?).unwrap_or_default();
            let definition = &statement["predicate"]["buildDefinition"];
            let of_subject = |named: &Value| named["digest"][subject.algorithm().as_str()] == subject.hex();
            let about_it = statement["subject"].as_array().is_some_and(|subjects| subjects.iter().any(of_subject));
            if about_it && definition["buildType"] == BUILD_TYPE {
                let toolchain = definition["internalParameters"]["toolchain"].clone();
                return Ok(serde_json::from_value(toolchain).ok());
            }
        }
        Ok(None)
    }
}

/// What a build is told of besides its plan.
pub struct Circumstances<'a> {
    /// The packages that were compiled, by target.
    pub graphs: &'a [Graph],
    pub lock: &'a Lock,
    pub bases: &'a [ResolvedBase],
    pub toolchain: &'a Toolchain,
    /// What a sandbox enforced.
    pub enforced: Option<&'a Enforced>,
}

/// Everything that is known of a build.
pub fn provenance(plan: &Plan, image: &ImagePlan, known: &Circumstances<'_>) -> Provenance {
    let requests = image.targets.iter().map(|target| {
        let request: Value = serde_json::from_str(&target.request).expect("the plan wrote JSON");
        (target.platform.to_string(), request)
    });
    let mut internal =
        json!({ "toolchain": known.toolchain, "sandbox": if known.enforced.is_some() { "hermetic" } else { "none" } });
    if let Some(enforced) = known.enforced {
        internal["hermetic"] = json!(enforced.statement());
    }
    Provenance {
        name: image.name.clone(),
        build_type: BUILD_TYPE.to_owned(),
        external: json!({
            "requests": requests.collect::<BTreeMap<_, _>>(),
            "version": image.version,
            "compression": image.compression,
            "source-date-epoch": plan.epoch,
        }),
        internal,
        dependencies: dependencies(plan, image, known),
        builder: BUILDER.to_owned(),
        versions: BTreeMap::from([(env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
    }
}

/// What went in: the sources, the lock file, the base, and the packages from elsewhere that were compiled.
fn dependencies(plan: &Plan, image: &ImagePlan, known: &Circumstances<'_>) -> Vec<Dependency> {
    let mut dependencies = Vec::new();
    dependencies.extend(plan.revision.as_ref().map(|source| Dependency {
        name: Some("source"),
        uri: image.annotations.get(SOURCE_KEY).map(|url| format!("git+{}@{}", purl::public(url), source.commit)),
        digest: BTreeMap::from([("gitCommit".to_owned(), source.commit.clone())]),
        annotations: BTreeMap::from([("dirty", source.is_dirty)]),
    }));
    let lock = known.lock.digest.iter().map(|digest| Dependency { name: Some("Cargo.lock"), ..Dependency::new(None, digest) });
    dependencies.extend(lock);
    dependencies.extend(known.bases.iter().map(|base| Dependency::new(Some(format!("oci:{}", base.name)), &base.root)));
    for package in known.graphs.iter().flat_map(|graph| &graph.packages) {
        let digest = match (&package.checksum, &package.commit) {
            (Some(checksum), _) => ("sha256", checksum),
            (None, Some(commit)) => ("gitCommit", commit),
            // What lies in the workspace is part of the sources.
            (None, None) => continue,
        };
        let digest = BTreeMap::from([(digest.0.to_owned(), digest.1.clone())]);
        dependencies.push(Dependency { uri: Some(package.purl.clone()), digest, ..Dependency::default() });
    }
    dependencies
}
