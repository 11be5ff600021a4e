//! `verify`: every digest, size, diff id and rule, with every finding reported and not only the first.
//!
//! For every image (image-spec, and the reading rules of [`plugin_oci::documents`]): each blob is there, has its size and digest, is
//! what its media type says; documents are strict JSON of the right shape; configuration, diff ids and layers agree;
//! layers decompress to their diff id and hold only entries that may be unpacked.
//!
//! What a Linux image starts can start in the root that its layers make ([`crate::build::start`]).
//!
//! For images that this tool made (annotation `dev.cargo-plugin-build.format`): the law of the byte format too, in
//! [`format`].
//!
//! For an image that names a contract ([`crate::hosts::cosmo::contract`]): that no other is attached in its place
//! (`contract-other`), and that it can be read (`contract-unreachable`). Where nothing is attached, which is how other tools copy,
//! there is a warning.
//!
//! For a layout: its marker, its index, and every file below `blobs/`, reached or not.
//!
//! However many images have a blob, it is read once, and several at a time (`ahead`); what is said of a layer is said by what
//! was read of it.

mod ahead;
mod contracts;
mod format;
mod image;
mod layout;
mod stack;

pub use contracts::NoContract;
use serde::Serialize;

use plugin_oci::failure::Error;
use plugin_oci::finding::Finding;
use plugin_oci::progress::Progress;
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::{Selector, Source, StoreError, finding_of, text_of};
use plugin_oci::values::digest::Digest;

pub use image::Walk;

/// What was checked, and what is wrong with it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// The roots that were checked.
    pub images: Vec<VerifiedImage>,
    /// Blobs, manifests and indexes that were read.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Everything that is wrong, sorted.
    pub findings: Vec<Finding>,
    /// Whether all of it is there and is what its digests name, so that it can be looked into, whatever rule it breaks.
    #[serde(skip)]
    pub sound: bool,
}

/// An image that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct VerifiedImage {
    /// Digest of its root.
    pub digest: Digest,
}

/// Checks one image of a store, with what refers to it.
pub fn image(source: &dyn Source, selector: &Selector, progress: &dyn Progress) -> Result<VerifyReport, Error> {
    let root = match source.resolve(selector) {
        Ok(root) => root,
        Err(error) => match finding_of(&source.name(), &error) {
            Some(finding) => return Ok(VerifyReport { findings: vec![finding], ..VerifyReport::default() }),
            None => return Err(error.into()),
        },
    };
    let mut walk = Walk::new(source, progress);
    walk.root(&root);
    match source.referrers(&root.digest) {
        Ok(referrers) => referrers.iter().for_each(|referrer| walk.root(referrer)),
        Err(error) => {
            walk.unlisted(&root.digest);
            walk.complain_of(&root.digest.to_string(), &error)?;
        }
    }
    walk.finish(vec![root.digest])
}

/// Checks a whole layout: its files, and every image in it.
pub fn layout(dir: &std::path::Path, progress: &dyn Progress) -> Result<VerifyReport, Error> {
    match std::fs::metadata(dir) {
        // As every other verb says it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => drop(Layout::open(dir)?),
        Err(error) => return Err(plugin_oci::fs::FileError::at("read", dir)(error).into()),
        Ok(_) => {}
    }
    let layout = match Layout::open(dir) {
        Ok(layout) => layout,
        Err(error) => {
            return Ok(VerifyReport {
                findings: vec![finding(&format!("oci:{}", dir.display()), &error)?],
                ..VerifyReport::default()
            });
        }
    };
    let mut walk = Walk::new(&layout, progress);
    let mut roots = Vec::new();
    match layout.index().and_then(|index| index.entries()) {
        Ok(entries) => {
            for entry in entries {
                walk.root(&entry);
                roots.push(entry.digest);
            }
        }
        Err(error) => walk.add(finding("index.json", &error)?),
    }
    walk.read();
    layout::check_blobs(&layout, &mut walk)?;
    walk.finish(roots)
}

/// The finding that an error is, or the error itself where it is no fault of the bytes.
fn finding(object: &str, error: &StoreError) -> Result<Finding, Error> {
    match finding_of(object, error) {
        Some(finding) => Ok(finding),
        None => Err(plugin_oci::failure::Complaint::failed(format!("cannot check {object}: {}", text_of(error))).into()),
    }
}
