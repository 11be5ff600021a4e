//! From artifacts and files to one image in its layout.

pub mod artifact;
pub mod base;
pub mod bill;
pub mod cache;
pub mod embed;
pub mod error;
pub mod ours;
pub mod provenance;
pub mod starts;
pub mod statement;
pub mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use super::{Built, BuiltPlatform, Compiled};
use crate::build::assemble::base::{ResolvedBase, base_of};
use crate::build::assemble::cache::Cache;
use crate::build::assemble::error::AssembleError;
use crate::build::inspect::bundle::NSSWITCH;
use crate::build::kinds::Kind;
use crate::build::manifest::bases::Bases;
use crate::build::plan::annotations::REQUEST_KEY;
use crate::build::plan::{ImagePlan, Plan, TargetPlan};
use crate::hosts::cosmo::contract::{self, Contract};
use bill::Sbom;
use plugin_oci::documents::Descriptor;
use plugin_oci::documents::image::{BASE_DIGEST, BASE_NAME, Image, Layer, Settings, index_over};
use plugin_oci::failure::Error;
use plugin_oci::fs::stamps::{Fingerprint, Hints};
use plugin_oci::fs::{FileError, TempFile};
use plugin_oci::layers::pack::{self, FORMAT, LayerError, Packed, Packer};
use plugin_oci::layers::tree::{Content, Entry, Mode, Tree, TreeBuilder};
use plugin_oci::progress::Progress;
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::staged::Bundle;
use plugin_oci::stores::{Sink as _, Source, copy};
use plugin_oci::values::digest::Digest;
use statement::Provenance;

/// Annotation of a platform manifest: the oldest glibc that its program starts with.
const GLIBC_KEY: &str = "dev.cargo-plugin-build.glibc";

/// Everything that one image is made of.
pub struct Assembly<'a> {
    /// What was decided.
    pub plan: &'a Plan,
    /// What was decided about this image.
    pub image: &'a ImagePlan,
    /// What cargo made for it, one a target.
    pub artifacts: &'a [Compiled<'a>],
    /// What its platforms build on.
    pub bases: &'a [ResolvedBase],
    /// How it came to be, where that is to be attached.
    pub provenance: Option<Provenance>,
    /// What it is made of, where that is to be attached.
    pub sbom: Option<Sbom>,
    /// What need not be read again.
    pub hints: &'a Hints,
    /// Where events go.
    pub progress: &'a dyn Progress,
}

impl Assembly<'_> {
    /// Makes the image and commits it to its layout.
    pub fn write(&self) -> Result<Built, Error> {
        let obsolete = if self.image.output_is_default { Obsolete::Remove } else { Obsolete::Keep };
        let writer = LayoutWriter::new(&self.image.output, obsolete, self.progress)?.with_hints(self.hints);
        let cache = writer.existing().map(|layout| Cache::of(layout, self.hints)).unwrap_or_default();
        let mut layer_builder =
            LayerBuilder { assembly: self, writer: &writer, hints: self.hints, cache, staged: BTreeMap::new() };
        let mut documents = Vec::new();
        let images = self.images(&mut layer_builder, &mut documents)?;
        let staged = layer_builder.staged;
        let contract = self.contract()?;
        let mut bundle = if self.image.kind.has_index() {
            Bundle::of_index(&index_over(&images, self.index_annotations(contract.as_ref())), &images)
        } else {
            Bundle::of_manifest(&images[0])
        };
        for bytes in documents {
            bundle.add_document(bytes);
        }
        for (digest, file) in staged {
            bundle.add_staged(digest, file);
        }
        for base in self.bases {
            bundle.add_behind(base.source.as_ref());
        }
        let existing = writer.existing().cloned();
        if let Some(layout) = &existing {
            bundle.add_behind(layout as &dyn Source);
        }
        let root = bundle.root().clone();
        if let Some(contract) = contract {
            contract.attach(&root).add_to(&mut bundle);
        }
        if let Some(provenance) = &self.provenance {
            let manifests: Vec<_> = images.iter().map(|image| &image.descriptor).collect();
            provenance.attach(&root, &manifests).add_to(&mut bundle);
        }
        if let Some(sbom) = &self.sbom {
            sbom.clone().attach(&root).add_to(&mut bundle);
        }
        let new = bundle.referrers(&root.digest)?;
        let replaced = existing.as_ref().map(|layout| ours::replaced(layout, &root.digest, &new)).unwrap_or_default();
        let options =
            copy::CopyOptions { replaced, tags: self.image.tags.clone(), verb: "Writing", ..copy::CopyOptions::default() };
        copy::copy(&bundle, &writer, &root, &options, self.progress)?;
        let layout = Layout::open(&self.image.output)?;
        layout.remember_build(&root.digest, &self.image.tags)?;
        if let Some(keep) = self.image.keep {
            let builds = layout.builds();
            for build in &builds[..builds.len().saturating_sub(keep.get())] {
                for tag in &build.tags {
                    writer.remove_tag(tag)?;
                    self.progress.status("Dropped", format!("{tag}, which is older than the last {keep} builds"));
                }
            }
        }
        self.hints.save();
        Ok(self.report(root, &images))
    }

    /// One image for each target; `documents` takes blobs that live in memory.
    fn images(&self, layer_builder: &mut LayerBuilder<'_>, documents: &mut Vec<Vec<u8>>) -> Result<Vec<Image>, Error> {
        if self.image.kind == Kind::Wasm {
            let (target, compiled) = (&self.image.targets[0], &self.artifacts[0]);
            let (image, module) = artifact::wasm(self.plan, target, compiled, self.annotations(target))?;
            documents.push(module);
            return Ok(vec![image]);
        }
        let files = self.files()?;
        let data = system::data(&self.image.system)?;
        let systems = (0..self.image.targets.len()).map(|position| self.system(position, &data));
        let systems: Vec<TreeBuilder> = systems.collect::<Result<_, _>>()?;
        self.check_paths(&systems)?;
        // An artifact is exactly one layer, so what lies beside the library goes into the same.
        let apart = !self.image.is_artifact && !self.image.files.is_empty();
        let shared = if apart { Some(layer_builder.layer("files", &files.clone().finish()?)?) } else { None };
        let mut images = Vec::new();
        for (position, (target, compiled)) in self.image.targets.iter().zip(self.artifacts).enumerate() {
            let mut layers: Vec<Layer> = Vec::new();
            if !self.image.system.is_empty() {
                layers.push(layer_builder.layer(&format!("{} system", target.platform), &systems[position].clone().finish()?)?);
            }
            layers.extend(shared.clone());
            if let Some(libraries) = libraries(compiled)? {
                layers.push(layer_builder.layer(&format!("{} libraries", target.platform), &libraries)?);
            }
            let mut builder = if self.image.is_artifact { files.clone() } else { Tree::builder() };
            builder.disk(&target.place.path, Mode::of_bits(target.place.mode), &compiled.artifact.path)?;
            let layer = layer_builder.layer(&target.platform.to_string(), &builder.finish()?)?;
            let mut annotations = self.annotations(target);
            if self.image.kind == Kind::Library {
                artifact::describe_library(self.plan, compiled, &mut annotations);
            }
            if self.image.is_artifact {
                images.push(artifact::library(target, layer, annotations));
                continue;
            }
            layers.push(layer);
            let mut settings = Settings { annotations, ..self.settings(target, position) };
            if let Some(glibc) = &compiled.checked.executable.glibc {
                settings.annotations.insert(GLIBC_KEY.to_owned(), glibc.clone());
            }
            images.push(Image::assemble(&settings, layers)?);
        }
        Ok(images)
    }

    /// The files that a composer of routers wants beside the image.
    fn contract(&self) -> Result<Option<Contract>, Error> {
        let Some(files) = &self.image.contract else { return Ok(None) };
        let read = |path: &Path| fs::read(path).map_err(FileError::at("read", path));
        let lock = files.lock.as_deref().map(read).transpose()?;
        let (schema, proto, mapping) = (read(&files.schema)?, read(&files.proto)?, read(&files.mapping)?);
        Ok(Some(Contract { schema, proto, mapping, lock }))
    }

    fn report(&self, root: Descriptor, images: &[Image]) -> Built {
        let platforms = images.iter().zip(&self.image.targets).map(|(image, target)| BuiltPlatform::of(image, &target.target));
        Built {
            package: self.image.package.clone(),
            name: self.image.name.clone(),
            kind: self.image.kind,
            layout: self.image.output.clone(),
            tags: self.image.tags.clone(),
            digest: root.digest.clone(),
            media_type: root.media_type.clone(),
            platforms: platforms.collect(),
            hermetic: None,
            root,
        }
    }

    /// The files that all platforms share.
    fn files(&self) -> Result<TreeBuilder, Error> {
        let mut builder = Tree::builder();
        self.add_files(&mut builder)?;
        Ok(builder)
    }

    fn add_files(&self, builder: &mut TreeBuilder) -> Result<(), Error> {
        for file in &self.image.files {
            match &file.link {
                Some(target) => builder.symlink(&file.path, target)?,
                None => builder.disk(&file.path, Mode::of_bits(file.mode), &file.source)?,
            }
        }
        Ok(())
    }

    /// What every system has: data, and users behind those of the base.
    fn system(&self, position: usize, data: &system::Files) -> Result<TreeBuilder, Error> {
        let known = starts::users_of(self.image, base_of(self.bases, position))?;
        let mut builder = Tree::builder();
        for (path, content) in data.iter().chain(&system::users(&self.image.system.users, &known)) {
            builder.bytes(path, Mode::of_bits(0o644), content.as_slice())?;
        }
        Ok(builder)
    }

    /// Sees that the layers of a platform, as one tree, hold no path twice: some readers take the first, others the last.
    fn check_paths(&self, systems: &[TreeBuilder]) -> Result<(), Error> {
        let mut told = BTreeSet::new();
        for ((target, compiled), system) in self.image.targets.iter().zip(self.artifacts).zip(systems) {
            let mut whole = system.clone();
            self.add_files(&mut whole)?;
            add_libraries(&mut whole, compiled)?;
            whole.disk(&target.place.path, Mode::of_bits(target.place.mode), &compiled.artifact.path)?;
            told.extend(whole.finish()?.case_collisions().iter().map(ToString::to_string));
        }
        for text in told {
            let folds = |target: &&TargetPlan| matches!(target.platform.os.as_str(), "windows" | "darwin");
            match self.image.targets.iter().find(folds) {
                Some(target) => {
                    return Err(AssembleError::Collision { collision: text, platform: target.platform.clone() }.into());
                }
                None => self.progress.warn(text, Some("some file systems cannot hold both".to_owned())),
            }
        }
        Ok(())
    }

    fn annotations(&self, target: &TargetPlan) -> BTreeMap<String, String> {
        let mut annotations = self.image.annotations.clone();
        annotations.insert(REQUEST_KEY.to_owned(), target.request.clone());
        annotations
    }

    fn settings(&self, target: &TargetPlan, position: usize) -> Settings {
        Settings {
            platform: target.platform.clone(),
            epoch: self.plan.epoch,
            entrypoint: target.place.entrypoint.clone(),
            execution: self.image.execution.clone(),
            annotations: BTreeMap::new(),
            base: base_of(self.bases, position).map(|(_, base)| base.clone()),
        }
    }

    fn index_annotations(&self, contract: Option<&Contract>) -> BTreeMap<String, String> {
        let mut annotations = self.image.annotations.clone();
        annotations.extend(contract.map(|contract| (contract::KEY.to_owned(), contract.digest().to_string())));
        if let (Some(Bases::All(_)), [base]) = (&self.image.base, self.bases) {
            annotations.insert(BASE_NAME.to_owned(), base.name.clone());
            annotations.insert(BASE_DIGEST.to_owned(), base.root.to_string());
        }
        annotations
    }
}

/// The loader and libraries that a dynamic program needs; `None` where nothing is to be packed with it.
fn libraries(compiled: &Compiled<'_>) -> Result<Option<Tree>, Error> {
    if compiled.checked.bundled.is_empty() {
        return Ok(None);
    }
    let mut builder = Tree::builder();
    add_libraries(&mut builder, compiled)?;
    Ok(Some(builder.finish()?))
}

fn add_libraries(builder: &mut TreeBuilder, compiled: &Compiled<'_>) -> Result<(), Error> {
    for file in &compiled.checked.bundled {
        // Libraries are reached through links; what is packed is the file behind them.
        let source = file.source.canonicalize().map_err(FileError::at("read", &file.source))?;
        builder.disk(&file.path, Mode::of_bits(file.mode), &source)?;
    }
    if compiled.checked.nsswitch {
        let (path, text) = NSSWITCH;
        builder.bytes(path, Mode::of_bits(0o644), text.as_bytes())?;
    }
    Ok(())
}

/// Makes layers, or finds them made.
struct LayerBuilder<'a> {
    assembly: &'a Assembly<'a>,
    writer: &'a LayoutWriter<'a>,
    hints: &'a Hints,
    cache: Cache,
    staged: BTreeMap<Digest, TempFile>,
}

impl LayerBuilder<'_> {
    /// With no candidate in the layout one pass makes the layer, and so it does when the files certainly look other than before. Else a
    /// first pass only hashes: a match costs no compression, a mismatch a second pass that must reproduce the first's diff id.
    fn layer(&mut self, name: &str, tree: &Tree) -> Result<Layer, Error> {
        let compression = self.assembly.image.compression;
        let label = format!("{} {name}", self.assembly.image.name);
        let fingerprint = self.fingerprint(tree);
        let has_changed = self.hints.has_changed(&label, &fingerprint);
        let mut made = None;
        let find = || -> Result<Digest, Error> {
            if has_changed {
                let (packed, _) = made.insert(self.pack(&label, tree)?);
                return Ok(packed.diff_id.clone());
            }
            Ok(pack::diff_id(tree, self.assembly.plan.epoch)?)
        };
        let mut expected = None;
        if self.cache.has_candidates(compression) {
            let diff_id = self.hints.known_or(fingerprint, |text| text.parse().ok(), find, |found| Some(found.to_string()))?;
            if let Some(known) = self.cache.find(&diff_id, compression)
                && self.writer.contains(known)?
            {
                let descriptor = Descriptor::new(compression.layer_media_type(), known.digest.clone(), known.size);
                return Ok(Layer { descriptor, diff_id });
            }
            expected = Some(diff_id);
        }
        let (packed, temp) = made.map_or_else(|| self.pack(&label, tree), Ok)?;
        if let Some(expected) = expected.filter(|expected| *expected != packed.diff_id) {
            return Err(AssembleError::Changed { layer: label, expected, found: packed.diff_id }.into());
        }
        if self.assembly.image.is_artifact {
            Cache::keep(self.hints, &packed.digest, &packed.diff_id);
        }
        self.staged.insert(packed.digest.clone(), temp);
        let descriptor = Descriptor::new(compression.layer_media_type(), packed.digest, packed.size);
        Ok(Layer { descriptor, diff_id: packed.diff_id })
    }

    fn pack(&self, label: &str, tree: &Tree) -> Result<(Packed, TempFile), Error> {
        let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let (compression, epoch) = (self.assembly.image.compression, self.assembly.plan.epoch);
        let mut temp = self.writer.temp()?;
        match (Packer { compression, epoch, workers }).pack(label, tree, &mut temp, self.assembly.progress) {
            Ok(packed) => Ok((packed, temp)),
            Err(LayerError::Write { source }) => Err(FileError { what: "write", path: temp.path().to_owned(), source }.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// How the files of a tree look.
    fn fingerprint(&self, tree: &Tree) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.text(&format!("tree of format {FORMAT} at {}", self.assembly.plan.epoch.seconds()));
        for (path, entry) in tree.iter() {
            fingerprint.text(path);
            match entry {
                Entry::Directory => fingerprint.text("directory"),
                Entry::Symlink { target } => fingerprint.text(&format!("link {target}")),
                Entry::File { mode, content: Content::Disk { path, .. } } => {
                    fingerprint.text(&format!("file {mode}"));
                    fingerprint.file(path);
                }
                Entry::File { .. } => fingerprint.unknown(),
            }
        }
        fingerprint
    }
}
