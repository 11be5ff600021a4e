//! What deltas a store offers for an image. What lists of referrers say of a delta is enough to choose by; its manifest is read
//! when it is chosen.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::{ARTIFACT_TYPE, Delta, DeltaError, MAKES_KEY};
use crate::attachments;
use crate::documents::Descriptor;
use crate::progress::Progress;
use crate::stores::{Source, StoreError};
use crate::values::digest::Digest;

/// A patch that may be had.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The diff id of what it applies to.
    pub base: Digest,
    /// Its size in bytes.
    pub size: u64,
    layer: Digest,
    listed: Arc<Listed>,
}

/// A manifest of patches.
#[derive(Debug)]
struct Listed {
    at: Descriptor,
    image: Digest,
    deltas: OnceLock<Vec<Delta>>,
}

impl Candidate {
    /// The patch, as its manifest describes it.
    pub(super) fn delta(&self, source: &dyn Source) -> Result<&Delta, StoreError> {
        let is_this = |delta: &&Delta| delta.layer == self.layer && delta.base == self.base && delta.patch.size == self.size;
        let found = self.listed.deltas(source)?.iter().find(is_this);
        found.ok_or_else(|| DeltaError::Malformed("its manifest has not what the list of referrers says").into())
    }
}

impl Listed {
    fn deltas(&self, source: &dyn Source) -> Result<&[Delta], StoreError> {
        if let Some(deltas) = self.deltas.get() {
            return Ok(deltas);
        }
        let manifest = attachments::read(source, &self.at, &self.image, ARTIFACT_TYPE)?;
        let deltas = manifest.iter().flat_map(|manifest| &manifest.layers).filter_map(Delta::of).collect();
        Ok(self.deltas.get_or_init(|| deltas))
    }

    /// What it makes: layer, base, size. Of a delta that lists do not tell of, the manifest says it.
    fn makes(&self, source: &dyn Source) -> Result<Vec<(Digest, Digest, u64)>, StoreError> {
        match self.at.annotations.get(MAKES_KEY).and_then(|text| parse(text)) {
            Some(makes) => Ok(makes),
            None => Ok(self.deltas(source)?.iter().map(makes_of).collect()),
        }
    }
}

/// Every patch that is offered for an image, by the layer that it makes. Where none can be had, that is told, and layers are to
/// be taken whole.
pub fn offered(source: &dyn Source, image: &Digest, progress: &dyn Progress) -> BTreeMap<Digest, Vec<Candidate>> {
    let warn = |error: &StoreError| progress.warn(format!("no deltas are used: {error}"), None);
    let listed = attachments::list(source, image, ARTIFACT_TYPE).unwrap_or_else(|error| {
        warn(&error);
        Vec::new()
    });
    let mut candidates: BTreeMap<Digest, Vec<Candidate>> = BTreeMap::new();
    for at in listed {
        let listed = Arc::new(Listed { at, image: image.clone(), deltas: OnceLock::new() });
        let makes = listed.makes(source).unwrap_or_else(|error| {
            warn(&error);
            Vec::new()
        });
        for (layer, base, size) in makes {
            let candidate = Candidate { base, size, layer: layer.clone(), listed: Arc::clone(&listed) };
            candidates.entry(layer).or_default().push(candidate);
        }
    }
    candidates
}

/// The annotation of a delta of these patches.
pub(super) fn annotation(deltas: &[Delta]) -> String {
    let makes = deltas.iter().map(makes_of).map(|(layer, base, size)| format!("{layer} {base} {size}"));
    makes.collect::<Vec<_>>().join(",")
}

fn parse(text: &str) -> Option<Vec<(Digest, Digest, u64)>> {
    let patch = |text: &str| {
        let mut words = text.split(' ');
        let (layer, base, size) = (words.next()?, words.next()?, words.next()?);
        let makes = (layer.parse().ok()?, base.parse().ok()?, size.parse().ok()?);
        words.next().is_none().then_some(makes)
    };
    text.split(',').map(patch).collect()
}

fn makes_of(delta: &Delta) -> (Digest, Digest, u64) {
    (delta.layer.clone(), delta.base.clone(), delta.patch.size)
}
