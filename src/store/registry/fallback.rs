//! Referrers by tag, where the registry has no API for them (distribution-spec, "Referrers Tag Schema").
//!
//! The index at `<algorithm>-<hex>` lists the referrers of one subject. It is read, extended, written, and read again: of two
//! clients that do so at once, the one whose entry is gone repeats it.

use super::error::RegistryError;
use super::repository::{Repository, parse_index};
use crate::digest::Digest;
use crate::oci::{Descriptor, Index, media_type};

/// How often an entry that another client has overwritten is put back.
const ROUNDS: usize = 5;

impl Repository<'_> {
    /// The index at the subject's tag; `None` where there is none.
    pub(super) fn tagged_referrers(&self, subject: &Digest) -> Result<Option<Index>, RegistryError> {
        let found = self.fetch_manifest(&tag_of(subject), None)?;
        // Something else under that tag is nobody's list of referrers.
        Ok(found.and_then(|found| parse_index(&found.bytes)))
    }

    /// Adds entries to the index at the subject's tag.
    pub(super) fn tag_referrers(&self, subject: &Digest, new: &[Descriptor]) -> Result<(), RegistryError> {
        for _ in 0..ROUNDS {
            let found = self.tagged_referrers(subject)?;
            let mut index = found.unwrap_or_else(|| Index {
                media_type: media_type::INDEX.to_owned(),
                artifact_type: None,
                manifests: Vec::new(),
                subject: None,
                annotations: std::collections::BTreeMap::new(),
            });
            let before = index.manifests.len();
            for entry in new {
                if !index.manifests.iter().any(|old| old.digest == entry.digest) {
                    index.manifests.push(entry.clone());
                }
            }
            if index.manifests.len() == before {
                return Ok(());
            }
            self.send_manifest(&tag_of(subject), media_type::INDEX, &index.to_bytes())?;
        }
        Ok(())
    }
}

/// The tag: 128 characters at most, as tags are; the hexadecimal part is cut to 64 (distribution-spec, same section).
fn tag_of(subject: &Digest) -> String {
    let hex = subject.hex();
    format!("{}-{}", subject.algorithm().as_str(), &hex[..hex.len().min(64)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_the_digest_with_a_dash() {
        let digest = Digest::of(b"");
        assert_eq!(tag_of(&digest), format!("sha256-{}", digest.hex()));
    }
}
