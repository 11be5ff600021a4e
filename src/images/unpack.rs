//! Unpacking: one platform of an image, applied to a directory that did not exist before.
//!
//! The rules are [`plugin_oci::layers::unpack`]'s; what is added here is where the layers come from, and that their digests, their
//! sizes and the configuration's diff ids are checked on the way.
//!
//! A WebAssembly artifact has no archives but one raw module. It is unpacked as if it stood alone in an archive, named by
//! its layer's `org.opencontainers.image.title`, as other tools name files, else `<plugin's name>.wasm`.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use serde::Serialize;

use crate::build::plan::annotations::NAME_KEY;
use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::layers::unpack::{Entry, ExtractError, ExtractOptions, Extraction, LayerInput, UnpackReport};
use plugin_oci::progress::{Event, Outcome, Progress};
use plugin_oci::stores::{
    PlatformImage, Selector, Source, StoreError, Verified, platform_of, read_config, resolve_for, select_platform,
};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;

/// What to unpack, and where to.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// Which image of the source.
    pub selector: Selector,
    pub platform: Platform,
    /// The directory to make: missing, or empty.
    pub target: PathBuf,
    /// Limits, and which archives are accepted.
    pub extract: ExtractOptions,
}

/// What was unpacked.
#[derive(Clone, Debug, Serialize)]
pub struct Unpacked {
    /// The new directory.
    pub path: PathBuf,
    /// Digest of the platform's manifest.
    pub digest: Digest,
    /// The platform that it is for; the one asked for, where it does not say.
    #[serde(serialize_with = "as_text")]
    pub platform: Platform,
    /// What was in it.
    #[serde(flatten)]
    pub report: UnpackReport,
}

fn as_text<S: serde::Serializer>(platform: &Platform, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(platform)
}

/// Unpacks one platform of an image.
pub fn unpack(source: &dyn Source, options: &UnpackOptions, progress: &dyn Progress) -> Result<Unpacked, Error> {
    let root = resolve_for(source, &options.selector, Some(&options.platform))?;
    let image = select_platform(source, &root, &options.platform)?;
    let layers = layers_of(source, &image)?;
    let mut extraction = Extraction::begin(&options.target, options.extract.clone())?;
    for layer in &layers {
        extraction = apply(source, layer, extraction, &mut |_| {}, progress)?;
    }
    let platform = platform_of(source, &image)?.unwrap_or_else(|| options.platform.clone());
    let report = extraction.commit()?;
    warn_of_dropped(&report, progress);
    Ok(Unpacked { path: options.target.clone(), digest: image.descriptor.digest, platform, report })
}

/// A layer of an image, before any of its bytes were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageLayer {
    pub(super) descriptor: Descriptor,
    content: Content,
    pub(super) diff_id: Option<Digest>,
}

/// What the bytes of a layer are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// A tar.
    Archive(Compression),
    /// One file: the tar header that gives it its name.
    File(Vec<u8>),
}

impl Content {
    fn of(descriptor: &Descriptor, manifest: &BTreeMap<String, String>) -> Option<Self> {
        if descriptor.media_type == media_type::WASM {
            return Some(Self::File(file_header(descriptor, manifest)));
        }
        Compression::of_media_type(&descriptor.media_type).map(Self::Archive)
    }
}

/// The header of a module's file. Only the last part of a title counts; where none can be a name, it is `module.wasm`.
fn file_header(descriptor: &Descriptor, manifest: &BTreeMap<String, String>) -> Vec<u8> {
    let title = descriptor.annotations.get("org.opencontainers.image.title").cloned();
    let name = title.or_else(|| manifest.get(NAME_KEY).map(|name| format!("{name}.wasm"))).unwrap_or_default();
    let mut header = tar::Header::new_ustar();
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.is_empty() || header.set_path(last).is_err() {
        header.as_old_mut().name[..11].copy_from_slice(b"module.wasm");
    }
    header.set_size(descriptor.size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Why an image cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A layer is no tar.
    #[error("manifest {manifest} has a layer of type `{media_type}`, which is no tar")]
    NotATar { manifest: Digest, media_type: String },
    /// The configuration speaks of other layers.
    #[error("manifest {manifest} has {layers} layers, but its configuration names {diff_ids} diff ids")]
    LayerCount {
        manifest: Digest,
        layers: usize,
        /// Diff ids of the configuration.
        diff_ids: usize,
    },
}

impl Failure for UnpackError {
    fn class(&self) -> Class {
        Class::Failed
    }
}

/// The layers of an image, lowest first, each with what its bytes must turn out to be. An artifact without an image
/// configuration has no diff ids; its layers' digests are all there is to check.
pub(super) fn layers_of(source: &dyn Source, image: &PlatformImage) -> Result<Vec<ImageLayer>, Error> {
    let manifest = &image.manifest;
    let named = if media_type::is_config(&manifest.config.media_type) {
        let config = read_config(source, &manifest.config)?;
        let diff_ids = config.diff_ids().to_vec();
        if diff_ids.len() != manifest.layers.len() {
            let (manifest, layers) = (image.descriptor.digest.clone(), manifest.layers.len());
            return Err(UnpackError::LayerCount { manifest, layers, diff_ids: diff_ids.len() }.into());
        }
        diff_ids.into_iter().map(Some).collect()
    } else {
        vec![None; manifest.layers.len()]
    };
    let layers = manifest.layers.iter().zip(named).map(|(descriptor, diff_id)| {
        let content = Content::of(descriptor, &manifest.annotations).ok_or_else(|| UnpackError::NotATar {
            manifest: image.descriptor.digest.clone(),
            media_type: descriptor.media_type.clone(),
        })?;
        Ok(ImageLayer { descriptor: descriptor.clone(), content, diff_id })
    });
    layers.collect()
}

/// Applies a layer of a store to a directory that is being filled, and calls `visit` with each entry.
pub(super) fn apply(
    source: &dyn Source,
    layer: &ImageLayer,
    extraction: Extraction,
    visit: &mut dyn FnMut(&Entry),
    progress: &dyn Progress,
) -> Result<Extraction, Error> {
    let (blob, bytes) = (layer.descriptor.digest.to_string(), layer.descriptor.size);
    progress.event(Event::BlobStarted { blob: blob.clone(), verb: "Unpacking", total: Some(bytes) });
    let input = layer.input(source, progress)?;
    let extraction = extraction.apply_with(input, visit).map_err(|error| layer.failed(source, error))?;
    progress.event(Event::BlobFinished { blob, outcome: Outcome::Copied, bytes });
    Ok(extraction)
}

impl ImageLayer {
    /// Its bytes on their way from a store, checked and told.
    pub(super) fn input<'a>(&'a self, source: &'a dyn Source, progress: &'a dyn Progress) -> Result<LayerInput<'a>, Error> {
        let Self { descriptor, content, diff_id } = self;
        let stored: Box<dyn Read + Send + '_> = match &descriptor.data {
            Some(data) => Box::new(Cursor::new(data)),
            None => source.open(descriptor)?,
        };
        let read = ProgressReader { inner: Verified::new(stored, descriptor), blob: descriptor.digest.to_string(), progress };
        let (reader, compression): (Box<dyn Read + Send + '_>, _) = match content {
            Content::Archive(compression) => (Box::new(read), *compression),
            Content::File(header) => {
                // The content fills its last block, and two empty ones end an archive.
                let filler = descriptor.size.wrapping_neg() % 512 + 1024;
                (Box::new(Cursor::new(header).chain(read).chain(io::repeat(0).take(filler))), Compression::None)
            }
        };
        Ok(LayerInput { reader, compression, diff_id: diff_id.clone() })
    }

    /// What it means that the layer could not be read.
    pub(super) fn failed(&self, source: &dyn Source, error: ExtractError) -> Error {
        match error.stored_bytes() {
            // What the store yields is not what its manifest says: the store's error says so better.
            Ok(source_error) => Error::from(StoreError::reading(&source.name(), &self.descriptor, source_error)),
            Err(error) => Error::from(error),
        }
    }
}

/// Says what an unpacked image does not have although its layers do.
pub(super) fn warn_of_dropped(report: &UnpackReport, progress: &dyn Progress) {
    let counts = &report.counts;
    if counts.dropped_modes > 0 {
        progress.warn(format!("{} setuid or setgid bits were not set", counts.dropped_modes), None);
    }
    if counts.dropped_xattrs > 0 {
        progress.warn(format!("{} extended attributes were not set", counts.dropped_xattrs), None);
    }
    if counts.dropped_devices > 0 {
        progress.warn(format!("{} device nodes were left out", counts.dropped_devices), None);
    }
}

/// Reports bytes as they are read.
struct ProgressReader<'a, R> {
    inner: R,
    blob: String,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for ProgressReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.progress.event(Event::BlobAdvanced { blob: self.blob.clone(), bytes: bytes as u64 });
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modules_file_is_named_by_its_title_or_its_plugin_and_never_leads_elsewhere() {
        let long = format!("{}.wasm", "a".repeat(200));
        for (title, plugin, expected) in [
            (None, None, "module.wasm"),
            (None, Some("tally"), "tally.wasm"),
            (Some("count.wasm"), Some("tally"), "count.wasm"),
            (Some("../../etc/count.wasm"), None, "count.wasm"),
            (Some(".."), None, "module.wasm"),
            (Some("/"), None, "module.wasm"),
            (Some(long.as_str()), None, "module.wasm"),
        ] {
            let mut descriptor = Descriptor::of(media_type::WASM, b"\0asm");
            let key = "org.opencontainers.image.title".to_owned();
            descriptor.annotations.extend(title.map(|title| (key, title.to_owned())));
            let manifest = plugin.map(|plugin| (NAME_KEY.to_owned(), plugin.to_owned())).into_iter().collect();
            let bytes = file_header(&descriptor, &manifest);
            let header = tar::Header::from_byte_slice(&bytes);
            assert_eq!(header.path().unwrap().to_str(), Some(expected), "{title:?} {plugin:?}");
            assert_eq!(header.size().unwrap(), 4);
        }
    }
}
