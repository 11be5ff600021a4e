//! Making deltas of an image for whoever has something else.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use super::bases::{StoredLayer, layers_below};
use super::candidate::annotation;
use super::{ARTIFACT_TYPE, Delta, DeltaError, MAKES_KEY, MEDIA_TYPE, Stored, patch};
use crate::attachments::Attachment;
use crate::documents::Descriptor;
use crate::layers::pack::{LayerError, Packer};
use crate::layers::unpack::{ExtractError, ExtractOptions, LayerInput, Limits, inflate, read_entries};
use crate::progress::Silent;
use crate::stores::{Source, StoreError};
use crate::values::compression::Compression;
use crate::values::digest::Digest;
use crate::values::epoch::Epoch;

/// Two tars of this size, and an index of one, are held in memory.
const LARGEST: u64 = 512 << 20;
/// How many bases are compared by what is in them.
const COMPARED: usize = 4;

/// What of an image goes as a delta.
#[derive(Debug, Default)]
pub struct Offer {
    /// The delta; absent where nothing is made by one.
    pub attachment: Option<Attachment>,
    /// The layers that it makes, each with the bytes of the layer and of the patch.
    pub made: BTreeMap<Digest, (u64, u64)>,
    /// The layers that travel whole, and why.
    pub whole: Vec<(Digest, &'static str)>,
}

impl Offer {
    /// Makes deltas for all layers of an image that `there` lacks. `have` is every digest that is there.
    pub fn make(source: &dyn Source, root: &Descriptor, there: &Stored<'_>, have: &BTreeSet<Digest>) -> Result<Self, StoreError> {
        let mut offer = Self::default();
        let mut attachment = Attachment::builder(ARTIFACT_TYPE, root);
        let new = Stored::new(source);
        let (mut seen, mut deltas) = (have.clone(), Vec::new());
        for layer in layers_below(source, root)? {
            if !seen.insert(layer.descriptor.digest.clone()) {
                continue;
            }
            let digest = layer.descriptor.digest.clone();
            match between(&new, &layer, there)? {
                Ok((delta, bytes)) => {
                    deltas.push(delta.clone());
                    offer.made.insert(digest, (layer.descriptor.size, bytes.len() as u64));
                    let annotations = delta.annotations();
                    let annotations = annotations.iter().map(|(key, value)| (*key, value.as_str()));
                    attachment = attachment.layer(MEDIA_TYPE, bytes, annotations);
                }
                Err(why) => offer.whole.push((digest, why)),
            }
        }
        offer.attachment = (!deltas.is_empty()).then(|| attachment.annotation(MAKES_KEY, annotation(&deltas)).finish());
        Ok(offer)
    }
}

/// The patch that makes a layer, or why there is none.
fn between(
    new: &Stored<'_>,
    layer: &StoredLayer,
    there: &Stored<'_>,
) -> Result<Result<(Delta, Vec<u8>), &'static str>, StoreError> {
    let candidates = candidates(there, layer);
    if candidates.is_empty() {
        return Ok(Err("nothing like it is there"));
    }
    let Some(tar) = tar(new, layer)? else { return Ok(Err("it is too large for a delta")) };
    let Some((base, base_tar)) = best_base(there, candidates, &tar) else { return Ok(Err("nothing like it is there")) };
    let packer = Packer {
        compression: layer.compression,
        epoch: Epoch::default(),
        workers: available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let write = |out: &mut dyn io::Write| out.write_all(&tar).map_err(|source| LayerError::Write { source });
    let packed = packer.repack("layer", tar.len() as u64, write, &mut io::sink(), &Silent).map_err(DeltaError::from)?;
    if packed.digest != layer.descriptor.digest {
        return Ok(Err("another tool compressed it"));
    }
    let bytes = patch::write(&base_tar, &tar).map_err(DeltaError::unwritten)?;
    if bytes.len() as u64 >= layer.descriptor.size {
        return Ok(Err("a delta would not be smaller"));
    }
    let delta = Delta {
        layer: packed.digest,
        diff_id: packed.diff_id,
        base: base.diff_id.clone(),
        compression: layer.compression,
        patch: Descriptor::of(MEDIA_TYPE, &bytes),
    };
    Ok(Ok((delta, bytes)))
}

/// The uncompressed tar of a layer; `None` where it is too large, or not to be had whole.
fn tar(store: &Stored<'_>, layer: &StoredLayer) -> Result<Option<Vec<u8>>, StoreError> {
    let limits = Limits { unpacked_bytes: LARGEST, ..Limits::default() };
    let mut tar = Vec::new();
    match inflate(store.input(layer)?, &limits, &mut 0, &mut tar) {
        Ok(()) => Ok(Some(tar)),
        Err(ExtractError::Limit(_)) => Ok(None),
        Err(error) => Err(DeltaError::Base(error).into()),
    }
}

/// The layers of the same platform that have about the same size; of other platforms where there are none.
fn candidates<'s>(there: &'s Stored<'_>, layer: &StoredLayer) -> Vec<&'s StoredLayer> {
    let same = |other: &&StoredLayer| other.platform == layer.platform;
    let mut candidates: Vec<&StoredLayer> = there.layers().iter().filter(same).collect();
    if candidates.is_empty() {
        candidates = there.layers().iter().collect();
    }
    candidates.sort_by_key(|other| (other.descriptor.size.abs_diff(layer.descriptor.size), &other.diff_id));
    candidates.dedup_by_key(|other| &other.diff_id);
    candidates.truncate(COMPARED);
    candidates
}

/// What shares most bytes of files by path.
fn best_base<'s>(there: &Stored<'_>, candidates: Vec<&'s StoredLayer>, new: &[u8]) -> Option<(&'s StoredLayer, Vec<u8>)> {
    let wanted = files(new);
    let mut best: Option<(u64, &StoredLayer, Vec<u8>)> = None;
    for candidate in candidates {
        let Ok(Some(tar)) = tar(there, candidate) else { continue };
        let shared = files(&tar).iter().filter_map(|(path, size)| wanted.get(path).map(|other| *size.min(other))).sum();
        if best.as_ref().is_none_or(|(most, ..)| shared > *most) {
            best = Some((shared, candidate, tar));
        }
    }
    best.map(|(_, base, tar)| (base, tar))
}

/// The files of a tar by path, as far as it can be read.
fn files(tar: &[u8]) -> BTreeMap<String, u64> {
    let mut files = BTreeMap::new();
    let input = LayerInput { reader: Box::new(tar), compression: Compression::None, diff_id: None };
    let _ = read_entries(input, &ExtractOptions::default(), &mut |entry, _| {
        files.insert(entry.path.clone(), entry.size);
        Ok(())
    });
    files
}
