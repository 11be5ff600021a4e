//! The end of the line: counts, hashes and writes the layer's bytes, and reports how far it got.

use std::io::{self, Write};

use super::LayerError;
use crate::progress::{Event, Progress};
use crate::values::digest::{Digest, Hasher};

/// Where a layer goes.
pub(super) struct Output<'a> {
    name: &'a str,
    out: &'a mut dyn Write,
    progress: &'a dyn Progress,
    hasher: Option<Hasher>,
    size: u64,
}

impl<'a> Output<'a> {
    /// An output that hashes what it writes only when told to: an uncompressed layer's digest is its diff id.
    pub(super) fn new(name: &'a str, out: &'a mut dyn Write, progress: &'a dyn Progress, hash: bool) -> Self {
        Self { name, out, progress, hasher: hash.then(Hasher::new), size: 0 }
    }

    /// Takes bytes of the layer.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        self.write_all(bytes).map_err(|source| LayerError::Write { source })
    }

    /// Reports that this many more bytes of the tar are done.
    pub(super) fn advance(&self, tar_bytes: u64) {
        self.progress.event(Event::BlobAdvanced { blob: self.name.to_owned(), bytes: tar_bytes });
    }

    /// Size and digest of what was written; no digest where it was not to be hashed.
    pub(super) fn finish(self) -> Result<(u64, Option<Digest>), LayerError> {
        self.out.flush().map_err(|source| LayerError::Write { source })?;
        Ok((self.size, self.hasher.map(Hasher::finish)))
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
