//! A source that has what it can make of a delta and of what is at hand.
//!
//! A layer is made into a nameless file and handed on only when its diff id and digest are those that are wanted; whoever
//! takes it checks it again. Where making fails the next smallest patch is tried; where all fail and the source has the layer
//! whole, that is taken, and told.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;

use super::patch::Patch;
use super::{Bases, Candidate, Delta, DeltaError};
use crate::documents::Descriptor;
use crate::fs::{FileError, TempFile};
use crate::layers::pack::{LayerError, Packer};
use crate::layers::unpack::Limits;
use crate::progress::{Progress, Silent};
use crate::stores::{Selector, Source, StoreError, Tagged, Verified};
use crate::values::digest::Digest;
use crate::values::epoch::Epoch;

/// Patches that are tried for one layer.
const TRIED: usize = 4;

/// A source with deltas.
pub struct Rebuilt<'a> {
    /// Where everything else comes from, and the patches too.
    pub source: &'a dyn Source,
    /// What is at hand.
    pub bases: &'a dyn Bases,
    /// The patches that may be used, by the layer that they make.
    pub deltas: BTreeMap<Digest, Vec<Candidate>>,
    /// Where temporary files go.
    pub dir: PathBuf,
    /// What may be made.
    pub limits: Limits,
    /// Where it is told.
    pub progress: &'a dyn Progress,
}

impl Rebuilt<'_> {
    /// The patches for a layer that apply to what is at hand, smallest first.
    fn usable(&self, layer: &Descriptor) -> Vec<&Candidate> {
        let offered = self.deltas.get(&layer.digest).into_iter().flatten();
        let mut usable: Vec<_> = offered.filter(|one| one.size < layer.size && self.bases.has(&one.base)).collect();
        usable.sort_by_key(|one| one.size);
        usable.truncate(TRIED);
        usable
    }

    fn make(&self, layer: &Descriptor, delta: &Delta) -> Result<File, StoreError> {
        let fresh = || tempfile::tempfile_in(&self.dir).map_err(FileError::at("create a temporary file in", &self.dir));
        let mut base = fresh()?;
        if !self.bases.write(&delta.base, &self.limits, &mut base)? {
            return Err(DeltaError::NoBase { layer: delta.layer.clone(), base: delta.base.clone() }.into());
        }
        base.flush().map_err(DeltaError::base)?;
        let content = Verified::new(self.source.open(&delta.patch)?, &delta.patch);
        let patch = Patch::open(content, layer.size, &self.limits)?;
        let size = patch.size;
        let (compression, epoch) = (delta.compression, Epoch::default());
        let packer = Packer { compression, epoch, workers: available_parallelism().unwrap_or(NonZeroUsize::MIN) };
        let mut failed = None;
        let apply = |out: &mut dyn Write| {
            patch.apply(base, out).map_err(|error| {
                failed = Some(error);
                LayerError::Stopped
            })
        };
        let mut made = Capped { file: fresh()?, left: layer.size };
        let packed = packer.repack(&layer.digest.to_string(), size, apply, &mut made, &Silent);
        let packed = match (packed, failed) {
            (Err(LayerError::Stopped), Some(error)) => return Err(error.into()),
            (packed, _) => packed.map_err(DeltaError::from)?,
        };
        if packed.digest != layer.digest || packed.diff_id != delta.diff_id {
            return Err(DeltaError::Other { layer: layer.digest.clone(), found: packed.digest }.into());
        }
        let mut file = made.file;
        file.rewind().map_err(DeltaError::unwritten)?;
        Ok(file)
    }
}

/// A file that takes no more than so many bytes.
struct Capped {
    file: File,
    left: u64,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("the delta makes more than the layer has"))?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Source for Rebuilt<'_> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        self.source.tags()
    }

    fn untagged(&self) -> Result<Vec<Descriptor>, StoreError> {
        self.source.untagged()
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        self.source.resolve(selector)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        let Some(offered) = self.deltas.get(&descriptor.digest).and_then(|offered| offered.first()) else {
            return self.source.open(descriptor);
        };
        let no_base = DeltaError::NoBase { layer: descriptor.digest.clone(), base: offered.base.clone() };
        let (mut error, mut is_tried) = (StoreError::from(no_base), false);
        for candidate in self.usable(descriptor) {
            match candidate.delta(self.source).and_then(|delta| self.make(descriptor, delta)) {
                Ok(file) => {
                    let text = format!("{} of {} bytes, from {}", descriptor.digest, descriptor.size, candidate.size);
                    self.progress.status("Patched", text);
                    return Ok(Box::new(file));
                }
                Err(failed) => (error, is_tried) = (failed, true),
            }
        }
        match self.source.open(descriptor) {
            Err(StoreError::MissingBlob { .. }) => Err(error),
            whole => {
                if is_tried {
                    self.progress.warn(format!("layer {} is taken whole: {error}", descriptor.digest), None);
                }
                whole
            }
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        self.source.referrers(subject)
    }

    fn take_staged(&self, digest: &Digest) -> Option<TempFile> {
        self.source.take_staged(digest)
    }

    fn resumes(&self) -> bool {
        self.source.resumes()
    }

    /// What is made is not gone on with.
    fn open_from(&self, descriptor: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send + '_>>, StoreError> {
        if self.usable(descriptor).is_empty() { self.source.open_from(descriptor, offset) } else { Ok(None) }
    }

    fn parallelism(&self) -> usize {
        self.source.parallelism()
    }

    fn repository(&self) -> Option<String> {
        self.source.repository()
    }
}
