//! What is at hand, and deltas can be applied to.

use std::io::Write;
use std::sync::OnceLock;

use super::DeltaError;
use crate::documents::{Descriptor, media_type};
use crate::layers::unpack::{LayerInput, Limits, inflate};
use crate::stores::{Source, StoreError, Verified, platform_images, platform_of, read_config};
use crate::values::compression::Compression;
use crate::values::digest::Digest;
use crate::values::platform::Platform;

/// Tars that are at hand.
pub trait Bases: Sync {
    /// Whether the tar with this diff id is.
    fn has(&self, diff_id: &Digest) -> bool;

    /// Writes that tar, which is checked; `false` where it is not at hand.
    fn write(&self, diff_id: &Digest, limits: &Limits, out: &mut dyn Write) -> Result<bool, DeltaError>;
}

impl<B: Bases> Bases for Option<B> {
    fn has(&self, diff_id: &Digest) -> bool {
        self.as_ref().is_some_and(|bases| bases.has(diff_id))
    }

    fn write(&self, diff_id: &Digest, limits: &Limits, out: &mut dyn Write) -> Result<bool, DeltaError> {
        self.as_ref().map_or(Ok(false), |bases| bases.write(diff_id, limits, out))
    }
}

/// The layers of all images of a store, looked for when the first is wanted.
pub struct Stored<'a> {
    source: &'a dyn Source,
    layers: OnceLock<Vec<StoredLayer>>,
}

/// A layer with what its image says of it.
#[derive(Clone, Debug)]
pub(super) struct StoredLayer {
    pub(super) descriptor: Descriptor,
    pub(super) compression: Compression,
    pub(super) diff_id: Digest,
    pub(super) platform: Option<Platform>,
}

impl<'a> Stored<'a> {
    /// Those of `source`.
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source, layers: OnceLock::new() }
    }

    /// Every layer with a diff id. An image that cannot be read has none.
    pub(super) fn layers(&self) -> &[StoredLayer] {
        self.layers.get_or_init(|| {
            let tagged = self.source.tags().unwrap_or_default().into_iter().map(|tagged| tagged.root);
            let roots = tagged.chain(self.source.untagged().unwrap_or_default());
            roots.flat_map(|root| layers_below(self.source, &root).unwrap_or_default()).collect()
        })
    }

    pub(super) fn input(&self, layer: &StoredLayer) -> Result<LayerInput<'_>, StoreError> {
        let reader = Box::new(Verified::new(self.source.open(&layer.descriptor)?, &layer.descriptor));
        Ok(LayerInput { reader, compression: layer.compression, diff_id: Some(layer.diff_id.clone()) })
    }
}

/// The layers of an image, each with its diff id and platform.
pub(super) fn layers_below(source: &dyn Source, root: &Descriptor) -> Result<Vec<StoredLayer>, StoreError> {
    let mut layers = Vec::new();
    for image in platform_images(source, root)? {
        if !media_type::is_config(&image.manifest.config.media_type) {
            continue;
        }
        let config = read_config(source, &image.manifest.config)?;
        let platform = platform_of(source, &image)?;
        for (descriptor, diff_id) in image.manifest.layers.iter().zip(config.diff_ids()) {
            let Some(compression) = Compression::of_media_type(&descriptor.media_type) else { continue };
            let (descriptor, diff_id, platform) = (descriptor.clone(), diff_id.clone(), platform.clone());
            layers.push(StoredLayer { descriptor, compression, diff_id, platform });
        }
    }
    Ok(layers)
}

impl Bases for Stored<'_> {
    fn has(&self, diff_id: &Digest) -> bool {
        self.layers().iter().any(|layer| layer.diff_id == *diff_id)
    }

    fn write(&self, diff_id: &Digest, limits: &Limits, out: &mut dyn Write) -> Result<bool, DeltaError> {
        let Some(layer) = self.layers().iter().find(|layer| layer.diff_id == *diff_id) else { return Ok(false) };
        let Ok(input) = self.input(layer) else { return Ok(false) };
        inflate(input, limits, &mut 0, out)?;
        Ok(true)
    }
}
