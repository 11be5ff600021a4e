//! The layout as cache: a layer whose diff id and compression an image of the layout has already is not compressed again.
//!
//! An artifact has no configuration that says its layer's diff id. That of a library is kept with the facts of the target
//! directory, by the layer's digest: what the digest names cannot change.

use std::collections::BTreeMap;

use plugin_oci::documents::{Descriptor, Manifest, media_type};
use plugin_oci::fs::stamps::Hints;
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::{Source as _, platform_images, read_config};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;

/// Layers of a layout by what they were made from.
#[derive(Debug, Default)]
pub struct Cache {
    layers: BTreeMap<(Digest, &'static str), Descriptor>,
}

impl Cache {
    /// Looks through every image of a layout. What cannot be read is no candidate; `verify` is the verb that complains.
    pub fn of(layout: &Layout, hints: &Hints) -> Self {
        let mut cache = Self::default();
        for tagged in layout.tags().unwrap_or_default() {
            for image in platform_images(layout, &tagged.root).unwrap_or_default() {
                let diff_ids = diff_ids(layout, &image.manifest, hints);
                for (descriptor, diff_id) in image.manifest.layers.into_iter().zip(diff_ids) {
                    if let Some(compression) = Compression::of_media_type(&descriptor.media_type) {
                        cache.layers.insert((diff_id, compression.as_str()), descriptor);
                    }
                }
            }
        }
        cache
    }

    /// Keeps the diff id of an artifact's layer for the next build.
    pub fn keep(hints: &Hints, layer: &Digest, diff_id: &Digest) {
        hints.remember(&key(layer), &diff_id.to_string(), []);
    }

    /// Whether any layer has this compression.
    pub fn has_candidates(&self, compression: Compression) -> bool {
        self.layers.keys().any(|(_, name)| *name == compression.as_str())
    }

    /// The layer that was made from the same tar by the same compression.
    pub fn find(&self, diff_id: &Digest, compression: Compression) -> Option<&Descriptor> {
        self.layers.get(&(diff_id.clone(), compression.as_str()))
    }
}

/// The diff ids of an image's layers, or as many of the first as are known.
fn diff_ids(layout: &Layout, manifest: &Manifest, hints: &Hints) -> Vec<Digest> {
    if media_type::is_config(&manifest.config.media_type) {
        return read_config(layout, &manifest.config).map(|config| config.diff_ids().to_vec()).unwrap_or_default();
    }
    manifest.layers.iter().map_while(|layer| hints.recall(&key(&layer.digest))?.parse().ok()).collect()
}

fn key(layer: &Digest) -> String {
    format!("diff id of layer {layer}")
}
