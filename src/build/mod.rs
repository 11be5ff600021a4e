//! `build`: plugin sources to an image in a layout.
//!
//! Everything is decided in the [`Plan`]; cargo compiles; then each image is assembled and committed to its layout in one
//! step. Whatever fails before that step, a compile error or an interrupt included, leaves the layout as it was.

mod assemble;
pub mod compile;
pub mod hermetic;
pub mod inspect;
pub mod kinds;
pub mod manifest;
pub mod nearest;
pub mod plan;
pub mod repository;
pub mod sbom;
pub mod start;
pub mod toolchain;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::build::compile::Artifact;
use crate::build::compile::check::{self, Checked};
use crate::build::hermetic::{Enforced, HermeticError, Sandbox};
use crate::build::kinds::Kind;
use crate::build::manifest::BuildFlags;
use crate::build::plan::destination::Destination;
use crate::build::plan::{ImagePlan, Plan};
use crate::build::sbom::record::Recorder;
use crate::build::toolchain::ToolchainError;
use crate::build::toolchain::lock::Lock;
use plugin_oci::documents::Descriptor;
use plugin_oci::documents::image::Image;
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::fs;
use plugin_oci::fs::stamps::Hints;
use plugin_oci::progress::Progress;
use plugin_oci::stores::StoreError;
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::registry::Settings;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::tag::Tag;

pub use assemble::error::AssembleError;
pub use assemble::ours::{LIMIT as ATTACHED_LIMIT, is_ours};
use assemble::provenance::Circumstances;
pub use assemble::provenance::Toolchain;

/// One built image.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// The package's name.
    pub package: String,
    /// The plugin's name.
    pub name: String,
    /// What it is to its host.
    pub kind: Kind,
    /// The layout directory, absolute.
    pub layout: PathBuf,
    /// The tags that name it there.
    pub tags: Vec<Tag>,
    /// Digest of the root.
    pub digest: Digest,
    /// Media type of the root.
    pub media_type: String,
    /// Each platform.
    pub platforms: Vec<BuiltPlatform>,
    /// What was enforced, under `--hermetic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hermetic: Option<Enforced>,
    /// The root's descriptor.
    #[serde(skip)]
    pub root: Descriptor,
}

/// One platform of a built image.
#[derive(Clone, Debug, Serialize)]
pub struct BuiltPlatform {
    /// `os/architecture`.
    pub platform: String,
    /// The Rust target.
    pub target: String,
    /// Digest of the platform's manifest.
    pub manifest: Digest,
    /// The layers that were added, in order.
    pub layers: Vec<BuiltLayer>,
}

/// One layer of a built image.
#[derive(Clone, Debug, Serialize)]
pub struct BuiltLayer {
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes of the blob.
    pub size: u64,
    pub media_type: String,
}

/// What cargo made for one target, and what was seen in it.
struct Compiled<'a> {
    artifact: &'a Artifact,
    checked: &'a Checked,
}

/// Decides everything about a build.
pub fn plan(flags: &BuildFlags, env: &Environment, progress: &dyn Progress) -> Result<Plan, Error> {
    let workspace = manifest::load(flags, env, progress)?;
    plan::plan(&workspace, flags, env, progress)
}

/// Where the images of a build go: without a compiler and without a network.
pub fn destinations(flags: &BuildFlags, env: &Environment, progress: &dyn Progress) -> Result<Vec<Destination>, Error> {
    let (packages, target_directory) = manifest::packages(flags, env, progress)?;
    let several = packages.len() > 1;
    let of = |package| Destination::of(package, several, &target_directory, flags, env);
    packages.iter().map(of).collect()
}

/// Compiles and writes every image of a plan. `registries` says how to reach those that hold base images.
pub fn build(plan: &Plan, registries: &Settings, env: &Environment, progress: &dyn Progress) -> Result<Vec<Built>, Error> {
    // Before anything is fetched or made.
    let enforced = plan.hermetic.as_ref().map(Sandbox::check).transpose()?;
    let finder = assemble::base::Bases { plan, registries, env, progress };
    let mut bases = Vec::new();
    for image in &plan.images {
        assemble::artifact::preflight(image)?;
        if plan.hermetic.is_some() && image.output_is_default {
            stays(&image.output)?;
        }
        Layout::open_existing(&image.output)?;
        fs::check_writable(&image.output)?;
        let resolved = finder.resolve(image)?;
        assemble::starts::foresee(image, &resolved, progress)?;
        bases.push(resolved);
    }
    let _alone = compile::alone(plan, progress)?;
    let wants = plan.provenance || plan.sbom.is_some();
    let compile::Compiled { artifacts, units } = compile::compile(plan, env, progress)?;
    let lock = if wants || plan.images.iter().any(|image| image.auditable) {
        Lock::read(&plan.workspace_root)?
    } else {
        Lock::default()
    };
    let recorder = Recorder::new(plan, &units, &lock, env, progress);
    let hints: Vec<Hints> = plan.images.iter().map(|image| Hints::open(&hints_file(plan, image), env)).collect();
    let checked = check::check(plan, &artifacts, &hints, enforced.is_some(), env, progress)?;
    let mut built = Vec::new();
    for ((image, bases), hints) in plan.images.iter().zip(&bases).zip(&hints) {
        let pairs = artifacts.iter().zip(&checked).filter(|(artifact, _)| artifact.package == image.package);
        let own: Vec<Compiled<'_>> = pairs.map(|(artifact, checked)| Compiled { artifact, checked }).collect();
        assemble::starts::check(image, &own, bases, progress)?;
        let graphs = if wants || image.auditable { told(recorder.graphs(image, hints), plan, image, progress)? } else { None };
        let embedded = match &graphs {
            Some(graphs) if image.auditable => Some(assemble::embed::auditable(plan, image, &own, graphs)?),
            _ => None,
        };
        let own = match &embedded {
            Some(artifacts) => {
                artifacts.iter().zip(&own).map(|(artifact, own)| Compiled { artifact, checked: own.checked }).collect()
            }
            None => own,
        };
        let (mut provenance, mut list) = (None, None);
        if let Some(graphs) = graphs {
            let toolchain = &Toolchain::of(plan, image, hints, env, progress);
            let known = Circumstances { graphs: &graphs, lock: &lock, bases, toolchain, enforced: enforced.as_ref() };
            provenance = plan.provenance.then(|| assemble::provenance::provenance(plan, image, &known));
            if let Some(format) = plan.sbom {
                let bill = assemble::bill::bill(plan, image, (&own, &graphs), toolchain, hints)?;
                list = Some(assemble::bill::Sbom { format, bytes: sbom::document(&bill, format) });
            }
        }
        let assembly = assemble::Assembly { plan, image, artifacts: &own, bases, provenance, sbom: list, hints, progress };
        let mut done = match assembly.write() {
            Err(error) if error.is::<StoreError>(|error| matches!(error, StoreError::Vanished { .. })) => assembly.write()?,
            done => done?,
        };
        done.hermetic.clone_from(&enforced);
        progress.status("Packaged", summary(image, &done));
        built.push(done);
    }
    let noted = plan.records.join(plan::NOTED);
    if !noted.exists() {
        fs::create_dirs(&plan.records)?;
        fs::write_atomically(&noted, b"")?;
    }
    Ok(built)
}

/// What cargo said of the graph. Where it cannot say it without the network, an image goes without attachments; a hermetic build
/// has fetched everything, and what is part of a program is not left out.
fn told<T>(
    graphs: Result<T, ToolchainError>,
    plan: &Plan,
    image: &ImagePlan,
    progress: &dyn Progress,
) -> Result<Option<T>, ToolchainError> {
    match graphs {
        Err(error) if plan.hermetic.is_none() && !image.auditable => {
            let hint = "`cargo fetch` brings what cargo wants; without attachments it is not asked for".to_owned();
            progress.warn(format!("neither SBOM nor provenance is attached: {error}"), Some(hint));
            Ok(None)
        }
        graphs => graphs.map(Some),
    }
}

/// The default place of a layout, `target/plugin-build/PACKAGE`, may lie among the sources: a link of theirs could lead it to
/// anybody's.
fn stays(output: &Path) -> Result<(), HermeticError> {
    let real = hermetic::view::trace(output).real;
    let below = |target: &Path| output.strip_prefix(target).map(|below| hermetic::view::trace(target).real.join(below)).ok();
    let expected = output.ancestors().nth(2).and_then(below);
    if expected.is_none_or(|expected| expected == real) {
        Ok(())
    } else {
        Err(HermeticError::Led { path: output.to_owned(), real })
    }
}

/// One file a layout, below the target directory, wherever the layout lies.
fn hints_file(plan: &Plan, image: &ImagePlan) -> PathBuf {
    let name = Digest::of(image.output.as_os_str().as_encoded_bytes());
    plan.records.join(format!("{}.json", name.short()))
}

fn summary(image: &ImagePlan, built: &Built) -> String {
    let platforms: Vec<&str> = built.platforms.iter().map(|platform| platform.platform.as_str()).collect();
    format!("{} v{} ({}) sha256:{}", image.name, image.version, platforms.join(", "), built.digest.short())
}

impl BuiltPlatform {
    fn of(image: &Image, target: &str) -> Self {
        let layers = image.layers.iter().map(|layer| BuiltLayer {
            digest: layer.descriptor.digest.clone(),
            diff_id: layer.diff_id.clone(),
            size: layer.descriptor.size,
            media_type: layer.descriptor.media_type.clone(),
        });
        Self {
            platform: image.platform.to_string(),
            target: target.to_owned(),
            manifest: image.descriptor.digest.clone(),
            layers: layers.collect(),
        }
    }
}
