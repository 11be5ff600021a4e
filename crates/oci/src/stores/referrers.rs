//! Referrers: manifests with a `subject` (image-spec, `manifest.md`), with or without a tag of their own.
//!
//! A tag of the form `<algorithm>-<hex>.<suffix>` is where cosign and skopeo look for what is attached to a digest. It belongs
//! to the referrer: it goes where that goes, and leaves when the subject leaves. Any other tag of a referrer is its owner's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Selector, Source, StoreError, Tagged, read_document};
use crate::documents::{Descriptor, Document, REF_NAME};
use crate::values::digest::Digest;
use crate::values::tag::{is_attached_to, referrers_suffix};

/// What each manifest of a store refers to. A digest says for ever what it names, so each is read once.
#[derive(Clone, Debug, Default)]
pub(super) struct Subjects(Arc<Mutex<BTreeMap<Digest, Option<Digest>>>>);

impl Subjects {
    fn of(&self, source: &dyn Source, entry: &Descriptor) -> Result<Option<Digest>, StoreError> {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&entry.digest) {
            return Ok(known.clone());
        }
        let subject = read_document(source, entry)?.0.subject().map(|subject| subject.digest.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.digest.clone(), subject.clone());
        Ok(subject)
    }

    /// Those among the entries of an `index.json` whose manifest has `subject` as its subject, sorted by digest. One that has a tag of its
    /// subject keeps it as its name.
    pub(super) fn referrers(
        &self,
        source: &dyn Source,
        entries: Vec<Descriptor>,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let mut found = Vec::new();
        for mut entry in entries.into_iter().filter(Descriptor::is_manifest_or_index) {
            let attached = attached_tag(&entry, subject).is_some();
            let named = match self.of(source, &entry) {
                // An image that is damaged is no reason to fail for another.
                Err(_) if entry.ref_name().is_some() && !attached => continue,
                named => named?,
            };
            if named.as_ref() == Some(subject) {
                if !attached {
                    entry.annotations.remove(REF_NAME);
                }
                found.push(entry);
            }
        }
        // Of two entries for one manifest, the one with a tag says more.
        found.sort_by(|a, b| (&a.digest, a.ref_name().is_none()).cmp(&(&b.digest, b.ref_name().is_none())));
        found.dedup_by(|a, b| a.digest == b.digest);
        Ok(found)
    }
}

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
pub(super) fn listed(at: &Descriptor, document: &Document) -> Descriptor {
    let mut listed = Descriptor::new(at.media_type.clone(), at.digest.clone(), at.size);
    let own = match document {
        Document::Manifest(manifest) => Some(manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type)),
        Document::Index(index) => index.artifact_type.as_ref(),
    };
    listed.artifact_type = own.cloned();
    listed.annotations.clone_from(document.annotations());
    listed
}
