//! The layout as cache: a layer whose diff id and compression an image of the layout has already is not compressed again.

use std::collections::BTreeMap;

use crate::compression::Compression;
use crate::digest::Digest;
use crate::oci::{Descriptor, media_type};
use crate::store::layout::Layout;
use crate::store::{Source as _, platform_images, read_config};

/// Layers of a layout by what they were made from.
#[derive(Debug, Default)]
pub struct Cache {
    layers: BTreeMap<(Digest, &'static str), Descriptor>,
}

impl Cache {
    /// Looks through every image of a layout. What cannot be read is no candidate; `verify` is the verb that complains.
    pub fn of(layout: &Layout) -> Self {
        let mut cache = Self::default();
        for tagged in layout.tags().unwrap_or_default() {
            for image in platform_images(layout, &tagged.root).unwrap_or_default() {
                if !media_type::is_config(&image.manifest.config.media_type) {
                    continue;
                }
                let Ok(config) = read_config(layout, &image.manifest.config) else { continue };
                for (descriptor, diff_id) in image.manifest.layers.into_iter().zip(config.diff_ids()) {
                    if let Some(compression) = Compression::of_media_type(&descriptor.media_type) {
                        cache.layers.insert((diff_id.clone(), compression.as_str()), descriptor);
                    }
                }
            }
        }
        cache
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
