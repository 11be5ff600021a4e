//! What the entries of a layout reach, so that everything else can be removed.

use std::collections::BTreeSet;

use super::{IndexFile, Layout, StoreError, read_document};
use crate::documents::{self, Descriptor, Document};
use crate::stores::Source;
use crate::values::digest::Digest;
use crate::values::tag::{is_attached_to, referrers_suffix};

/// The digests that an index reaches, and referrers whose subject it does not.
#[derive(Clone, Debug, Default)]
pub struct Reachable {
    /// Every blob, manifest and index that must stay.
    pub digests: BTreeSet<Digest>,
    /// Untagged entries whose subject is gone: they leave with it.
    pub orphaned: BTreeSet<Digest>,
    /// Entries with a tag of their subject, and the subject: they leave when it does.
    pub attached: Vec<(Digest, Digest)>,
    followed: BTreeSet<Digest>,
}

/// Follows every entry. Referrers (untagged entries with a `subject`) count only as long as their subject is reached.
/// A manifest that cannot be read is an error: nothing may be removed on a guess.
pub fn reachable(layout: &Layout, index: &IndexFile) -> Result<Reachable, StoreError> {
    let mut found = Reachable::default();
    let mut waiting: Vec<(Descriptor, Digest)> = Vec::new();
    for entry in index.entries()? {
        let looks_so = entry.is_manifest_or_index() && entry.ref_name().is_none_or(|tag| referrers_suffix(tag).is_some());
        let document = if looks_so { Some(read_document(layout, &entry)?.0) } else { None };
        let subject = document.as_ref().and_then(Document::subject).map(|subject| subject.digest.clone());
        match subject {
            Some(subject) if entry.ref_name().is_some_and(|tag| is_attached_to(tag, &subject)) => {
                found.follow(layout, &entry, 0)?;
                found.attached.push((entry.digest, subject));
            }
            Some(subject) if entry.ref_name().is_none() => waiting.push((entry, subject)),
            _ => found.follow(layout, &entry, 0)?,
        }
    }
    loop {
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, subject)| found.digests.contains(subject));
        waiting = rest;
        if ready.is_empty() {
            break;
        }
        for (entry, _) in ready {
            found.follow(layout, &entry, 0)?;
        }
    }
    found.orphaned = waiting.into_iter().map(|(entry, _)| entry.digest).collect();
    Ok(found)
}

impl Reachable {
    /// Adds everything that a descriptor reaches.
    pub(in crate::stores) fn follow(&mut self, store: &dyn Source, at: &Descriptor, depth: usize) -> Result<(), StoreError> {
        if depth > documents::NESTING_LIMIT {
            return Err(StoreError::TooDeep { object: at.digest.to_string() });
        }
        self.digests.insert(at.digest.clone());
        // Another image may call the same bytes a blob: only what was followed need not be followed again.
        if !at.is_manifest_or_index() || !self.followed.insert(at.digest.clone()) {
            return Ok(());
        }
        match read_document(store, at)?.0 {
            Document::Index(index) => index.manifests.iter().try_for_each(|child| self.follow(store, child, depth + 1)),
            // What a manifest points at is a blob, whatever media type it claims.
            document @ Document::Manifest(_) => {
                self.digests.extend(document.children().into_iter().map(|blob| blob.digest.clone()));
                Ok(())
            }
        }
    }
}
