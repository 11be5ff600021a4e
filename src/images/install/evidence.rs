//! What an image is judged by, kept beside it, so that it can be judged again without the store that it came from.
//!
//! A layout with the documents of the image and what refers to it, and no layer. It is anybody's, as what it came from: the keys
//! decide, and an image of which nothing was kept is not trusted.

use std::io::Read;
use std::path::{Path, PathBuf};

use plugin_oci::documents::{Descriptor, Document};
use plugin_oci::progress::Silent;
use plugin_oci::stores::copy::{CopyOptions, copy};
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::{Selector, Source, StoreError, Tagged, platform_images, read_document};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::tag::Tag;

/// Bytes that are kept at most: what a judge reads at once.
const LIMIT: u64 = 64 << 20;
/// What the image is called in its evidence.
const TAG: &str = "installed";

/// Writes what is beside an image into a new directory.
pub fn write(source: &dyn Source, root: &Descriptor, dir: &Path) -> Result<(), StoreError> {
    let images = platform_images(source, root)?;
    let layers = images.iter().flat_map(|image| &image.manifest.layers);
    let options = CopyOptions {
        tags: TAG.parse::<Tag>().into_iter().collect(),
        have: layers.map(|layer| layer.digest.clone()).collect(),
        ..CopyOptions::default()
    };
    let beside = Beside { source, root: &root.digest };
    copy(&beside, &LayoutWriter::new(dir, Obsolete::Keep, &Silent)?, root, &options, &Silent)?;
    Ok(())
}

/// Where what was kept of an image lies.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The directory; nothing may be there.
    pub dir: PathBuf,
    /// The image's root.
    pub image: Digest,
}

impl Evidence {
    /// The image's documents, where they are there and are those of that image.
    pub fn read(&self) -> Option<(Layout, Descriptor)> {
        let layout = Layout::open(&self.dir).ok()?;
        let root = layout.resolve(&Selector::Tag(TAG.to_owned())).ok().filter(|root| root.digest == self.image)?;
        read_document(&layout, &root).ok()?;
        Some((layout, root))
    }
}

/// A source in which nothing but one image is referred to, and that by what is small enough.
struct Beside<'a> {
    source: &'a dyn Source,
    root: &'a Digest,
}

impl Source for Beside<'_> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        self.source.tags()
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        self.source.resolve(selector)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        self.source.open(descriptor)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let (mut kept, mut room) = (Vec::new(), LIMIT);
        for referrer in if subject == self.root { self.source.referrers(subject)? } else { Vec::new() } {
            let size = match read_document(self.source, &referrer) {
                Ok((Document::Manifest(manifest), _)) => {
                    manifest.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size))
                }
                Ok((Document::Index(_), _)) => continue,
                // It is left out by whoever copies, or says why it cannot be.
                Err(_) => 0,
            };
            if let Some(left) = room.checked_sub(size) {
                room = left;
                kept.push(referrer);
            }
        }
        Ok(kept)
    }
}
