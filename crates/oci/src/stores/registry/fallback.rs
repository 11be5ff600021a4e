//! Referrers by tag, where the registry has no API for them (distribution-spec, "Referrers Tag Schema").
//!
//! The index at `<algorithm>-<hex>` lists the referrers of one subject. It is read, extended, written on the condition that it
//! is as it was read, and read again: of two clients that do so at once, the one whose entry is gone repeats it. Entries and fields that are not ours stay as they are.

use serde_json::{Value, json};

use super::error::RegistryError;
use super::reading::parse_index;
use super::repository::Repository;
use super::sink::Condition;
use crate::documents::{Descriptor, Index, MANIFEST_LIMIT, json as strict, media_type};
use crate::values::digest::Digest;
use crate::values::tag::Tag;

impl Repository<'_> {
    /// The index at the subject's tag; `None` where there is none.
    pub(super) fn tagged_referrers(&self, subject: &Digest) -> Result<Option<Index>, RegistryError> {
        let found = self.fetch_manifest(&Tag::of_referrers(subject), None)?;
        // Something else under that tag is nobody's list of referrers.
        Ok(found.and_then(|found| parse_index(&found.bytes)))
    }

    /// Adds entries to the index at the subject's tag. What it holds of others stays as it is.
    pub(super) fn tag_referrers(&self, subject: &Digest, new: &[Descriptor]) -> Result<(), RegistryError> {
        let tag = Tag::of_referrers(subject);
        let mut tried = 0;
        loop {
            let Some((extended, condition)) = self.extended(&tag, new)? else { return Ok(()) };
            self.replace_manifest(&tag, media_type::INDEX, &extended, &condition)?;
            tried += 1;
            if self.extended(&tag, new)?.is_none() {
                return Ok(());
            }
            if !self.client.pause(tried, None) {
                let url = self.url(&format!("manifests/{tag}"))?;
                return Err(RegistryError::protocol(&url, "the list of referrers there does not keep what is added to it"));
            }
        }
    }

    /// Takes an entry out of the index at the subject's tag, if there is such an index.
    pub(super) fn untag_referrer(&self, subject: &Digest, gone: &Digest) -> Result<(), RegistryError> {
        let tag = Tag::of_referrers(subject);
        let Some(found) = self.fetch_manifest(&tag, None)? else { return Ok(()) };
        let mut tree = strict::parse(&found.bytes).unwrap_or_default();
        let Some(entries) = tree.get_mut("manifests").and_then(Value::as_array_mut) else { return Ok(()) };
        let before = entries.len();
        entries.retain(|entry| entry["digest"] != json!(gone));
        match entries.len() {
            left if left == before => Ok(()),
            _ => self.send_manifest(&tag, media_type::INDEX, &strict::to_canonical(&tree)),
        }
    }

    /// The index at the tag with these entries, and what must hold for it to be written; `None` where it has them.
    fn extended(&self, tag: &Tag, new: &[Descriptor]) -> Result<Option<(Vec<u8>, Condition)>, RegistryError> {
        let found = self.fetch_manifest(tag, None)?;
        let condition = match &found {
            None => Condition::Absent,
            Some(found) => found.etag.clone().map_or(Condition::None, Condition::Unchanged),
        };
        let mut tree = match found {
            None => json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [] }),
            Some(found) if found.descriptor.media_type == media_type::INDEX => strict::parse(&found.bytes).unwrap_or_default(),
            Some(_) => Value::Null,
        };
        let Some(entries) = tree.get_mut("manifests").and_then(Value::as_array_mut) else {
            // "A manifest other than the expected image index": distribution-spec, "Pushing Manifests with Subject".
            let url = self.url(&format!("manifests/{tag}"))?;
            return Err(RegistryError::protocol(&url, "where the list of referrers belongs, there is no image index"));
        };
        let before = entries.len();
        for entry in new {
            if !entries.iter().any(|old| old["digest"] == json!(entry.digest)) {
                entries.push(json!(entry));
            }
        }
        if entries.len() == before {
            return Ok(None);
        }
        let bytes = strict::to_canonical(&tree);
        if bytes.len() as u64 > MANIFEST_LIMIT {
            let url = self.url(&format!("manifests/{tag}"))?;
            return Err(RegistryError::protocol(&url, "its list of referrers would have more bytes than are read"));
        }
        Ok(Some((bytes, condition)))
    }
}
