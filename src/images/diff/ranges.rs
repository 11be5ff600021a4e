//! Stretches of a file, hashed where they lie, and a reader with a budget: a header may claim any size.

use std::io::{self, Read, Seek, SeekFrom};

use tempfile::SpooledTempFile;

use plugin_oci::values::digest::{Digest, Hasher};

/// The most bytes of headers, or of symbols, of one file.
const BUDGET: u64 = 24 << 20;

/// A stretch of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) size: u64,
}

pub(super) fn hash(file: &mut SpooledTempFile, range: Option<Range>) -> io::Result<Option<Digest>> {
    let Some(range) = range else { return Ok(None) };
    file.seek(SeekFrom::Start(range.offset))?;
    let mut hasher = Hasher::new();
    io::copy(&mut file.by_ref().take(range.size), &mut hasher)?;
    Ok(Some(hasher.finish()))
}

/// A reader that gives up after so many bytes.
pub(super) struct Budget<'a> {
    file: &'a mut SpooledTempFile,
    left: u64,
}

impl<'a> Budget<'a> {
    pub(super) fn new(file: &'a mut SpooledTempFile) -> Self {
        Self { file, left: BUDGET }
    }
}

impl Read for Budget<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.len() as u64 > self.left {
            return Err(io::Error::other("more is to be read than a header may hold"));
        }
        let count = self.file.read(buffer)?;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Seek for Budget<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
