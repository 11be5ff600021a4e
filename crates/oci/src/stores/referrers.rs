//! Referrers: manifests with a `subject` (image-spec, `manifest.md`), with or without a tag of their own.
//!
//! A tag of the form `<algorithm>-<hex>.<suffix>` is where cosign and skopeo look for what is attached to a digest. It belongs
//! to the referrer: it goes where that goes, and leaves when the subject leaves. Any other tag of a referrer is its owner's.

use super::{Selector, Source, StoreError, Tagged, read_document};
use crate::documents::{Descriptor, Document};
use crate::values::digest::Digest;
use crate::values::tag::{is_attached_to, referrers_suffix};

/// The tag of its subject that a referrer has.
pub(super) fn attached_tag<'a>(referrer: &'a Descriptor, subject: &Digest) -> Option<&'a str> {
    referrer.ref_name().filter(|tag| is_attached_to(tag, subject))
}

/// The tags of images: not of what refers to something else in the same store, nor of the list of what does.
pub fn images(source: &dyn Source) -> Result<Vec<Tagged>, StoreError> {
    let is_registry = source.repository().is_some();
    let mut tags = source.tags()?;
    tags.retain(|tagged| match (is_registry, referrers_suffix(&tagged.tag)) {
        (true, Some("")) => false,
        // There reading is a request for each.
        (true, None) => true,
        _ => !refers(source, &tagged.root),
    });
    Ok(tags)
}

/// Whether a root refers to something else in the same store. What cannot be read is taken for an image.
pub(super) fn refers(source: &dyn Source, root: &Descriptor) -> bool {
    if !root.is_manifest_or_index() {
        return false;
    }
    let subject = read_document(source, root).ok().and_then(|(document, _)| document.subject().cloned());
    subject.is_some_and(|subject| source.resolve(&Selector::Digest(subject.digest)).is_ok())
}

/// A referrer as lists show it: with the artifact type and the annotations of its manifest (distribution-spec, "Pushing
/// Manifests with Subject").
pub fn listed(at: &Descriptor, document: &Document) -> Descriptor {
    let mut listed = Descriptor::new(at.media_type.clone(), at.digest.clone(), at.size);
    let own = match document {
        Document::Manifest(manifest) => Some(manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type)),
        Document::Index(index) => index.artifact_type.as_ref(),
    };
    listed.artifact_type = own.cloned();
    listed.annotations.clone_from(document.annotations());
    listed
}
