//! Base images: resolved before anything is compiled, so that a missing platform costs no compile time.
//!
//! A base in a registry is fetched once, by digest, into a layout below the target directory, only the platforms that are
//! needed, and read from there from then on. A tag is looked up every time, and the digest that it names now is told, so that
//! it can be pinned. Under `--offline` what is not there already cannot be had.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::AssembleError;
use crate::build::plan::{ImagePlan, Plan};
use plugin_oci::documents::Descriptor;
use plugin_oci::documents::image::Base;
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::progress::Progress;
use plugin_oci::stores::copy::{self, Movement};
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::open::Stores;
use plugin_oci::stores::registry::Settings;
use plugin_oci::stores::{self, PlatformImage, Selector, Source};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::{Reference, RegistryReference};

/// Directory of fetched bases, beside the records of builds.
const CACHE: &str = "bases";

/// A base with every platform that the image needs.
pub struct ResolvedBase {
    /// Where its layers are read from.
    pub source: Box<dyn Source>,
    /// How the image is called, without anything that depends on where it lies.
    pub name: String,
    /// Digest of its root: the index where it has one.
    pub root: Digest,
    /// By the position of the target in the plan.
    pub platforms: BTreeMap<usize, Base>,
}

/// The base of a target, by its position in the plan.
pub fn base_of(bases: &[ResolvedBase], position: usize) -> Option<(&ResolvedBase, &Base)> {
    bases.iter().find_map(|base| Some((base, base.platforms.get(&position)?)))
}

/// Finds bases, and fetches those that are in registries.
pub struct Bases<'a> {
    /// What is built.
    pub plan: &'a Plan,
    /// How to reach registries.
    pub registries: &'a Settings,
    /// Where credentials are.
    pub env: &'a Environment,
    /// What is told.
    pub progress: &'a dyn Progress,
}

impl Bases<'_> {
    /// Finds the bases of an image: each that its targets name, once.
    pub fn resolve(&self, image: &ImagePlan) -> Result<Vec<ResolvedBase>, Error> {
        let mut named: Vec<(&Reference, Vec<usize>)> = Vec::new();
        for (position, target) in image.targets.iter().enumerate() {
            let Some(reference) = &target.base else { continue };
            match named.iter_mut().find(|(known, _)| *known == reference) {
                Some((_, positions)) => positions.push(position),
                None => named.push((reference, vec![position])),
            }
        }
        named.into_iter().map(|(reference, positions)| self.one(reference, &positions, image)).collect()
    }

    fn one(&self, reference: &Reference, positions: &[usize], image: &ImagePlan) -> Result<ResolvedBase, Error> {
        let wanted: Vec<&Platform> = positions.iter().map(|position| &image.targets[*position].platform).collect();
        let (source, root): (Box<dyn Source>, Descriptor) = match reference {
            Reference::Registry(registry) => {
                let (layout, root) = self.fetched(registry, &wanted)?;
                (Box::new(layout), root)
            }
            local => {
                let source = stores::open::source(local)?;
                let root = source.resolve(&Selector::of(local.tag(), local.digest()))?;
                (source, root)
            }
        };
        let name = name_of(reference);
        let mut platforms = BTreeMap::new();
        for (position, found) in positions.iter().zip(needed(source.as_ref(), &root, &wanted)?) {
            let config = stores::read_config(source.as_ref(), &found.manifest.config)?;
            let digest = found.descriptor.digest.clone();
            platforms.insert(*position, Base { name: name.clone(), digest, layers: found.manifest.layers, config });
        }
        Ok(ResolvedBase { source, name, root: root.digest, platforms })
    }

    /// The layout that holds a registry's base, after fetching what it lacks.
    fn fetched(&self, reference: &RegistryReference, wanted: &[&Platform]) -> Result<(Layout, Descriptor), Error> {
        // Where no hermetic build can write, and none looks for its products.
        let dir = self.plan.records.join(CACHE);
        if let Some(digest) = &reference.digest
            && let Some(root) = cached(&dir, digest, wanted)
        {
            return Ok((Layout::open(&dir)?, root));
        }
        if self.plan.offline {
            return Err(AssembleError::Offline { reference: reference.clone() }.into());
        }
        let stores = Stores::new(self.registries.clone(), self.env, self.progress);
        let source = stores.source(&Reference::Registry(reference.clone()))?;
        let root = source.resolve(&Selector::of(reference.tag.as_deref(), reference.digest.as_ref()))?;
        if reference.digest.is_none() {
            let hint = format!("pin it: `base = \"docker://{reference}@{}\"`", root.digest);
            self.progress.warn(format!("base `{reference}` is named by tag, which now means {}", root.digest), Some(hint));
        }
        if cached(&dir, &root.digest, wanted).is_none() {
            self.fetch(source.as_ref(), &root, wanted, &dir)?;
        }
        Ok((Layout::open(&dir)?, root))
    }

    /// Brings every document of an image, and the blobs of the platforms that are needed.
    fn fetch(&self, source: &dyn Source, root: &Descriptor, wanted: &[&Platform], dir: &Path) -> Result<(), Error> {
        let wanted: BTreeSet<Digest> = needed(source, root, wanted)?.iter().flat_map(blobs).map(|blob| blob.digest).collect();
        let all = stores::platform_images(source, root)?;
        let have = all.iter().flat_map(blobs).map(|blob| blob.digest).filter(|digest| !wanted.contains(digest)).collect();
        let options = copy::CopyOptions { referrers: false, have, verb: "Fetching", ..copy::CopyOptions::default() };
        let writer = LayoutWriter::new(dir, Obsolete::Keep, self.progress)?;
        self.progress.status("Fetching", format!("base {}@{}", source.name(), root.digest));
        let mut movement = Movement::new(source, &writer, &options, self.progress);
        movement.stage(root)?;
        movement.commit_tags(Vec::new(), vec![root.clone()])?;
        Ok(())
    }
}

/// The base's image for each platform, in their order.
fn needed(source: &dyn Source, root: &Descriptor, wanted: &[&Platform]) -> Result<Vec<PlatformImage>, Error> {
    let select = |platform: &&Platform| stores::select_platform(source, root, platform);
    Ok(wanted.iter().map(select).collect::<Result<_, _>>()?)
}

/// The root in the cache, if everything that the image needs of it is there. Content is checked when it is read.
fn cached(dir: &Path, digest: &Digest, wanted: &[&Platform]) -> Option<Descriptor> {
    let layout = Layout::open(dir).ok()?;
    let root = layout.resolve(&Selector::Digest(digest.clone())).ok()?;
    let there = |blob: Descriptor| layout.blob_path(&blob.digest).metadata().is_ok_and(|found| found.len() == blob.size);
    needed(&layout, &root, wanted).ok()?.iter().flat_map(blobs).all(there).then_some(root)
}

fn blobs(image: &PlatformImage) -> Vec<Descriptor> {
    std::iter::once(&image.manifest.config).chain(&image.manifest.layers).cloned().collect()
}

/// A local path says nothing on another machine, so only its last component is kept.
fn name_of(reference: &Reference) -> String {
    match reference {
        Reference::Layout(local) | Reference::Archive(local) => {
            let file = local.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            local.name.as_ref().map_or_else(|| file.clone(), |tag| format!("{file}:{tag}"))
        }
        Reference::Registry(registry) => {
            let mut name = registry.name();
            if let Some(tag) = &registry.tag {
                name = format!("{name}:{tag}");
            }
            name
        }
    }
}
