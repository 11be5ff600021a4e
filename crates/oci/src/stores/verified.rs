//! A reader that is true to its descriptor or fails.

use std::io::{self, Read};

use crate::documents::Descriptor;
use crate::values::digest::{Digest, Hasher};

/// Passes bytes through while hashing them. Reaching the end with another size or digest is an error, and so is one byte
/// more than the descriptor says: a consumer that read to the end has checked content.
pub struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    size: u64,
    seen: u64,
}

impl<R: Read> Verified<R> {
    /// Checks `inner` against size and digest of `descriptor`.
    pub fn new(inner: R, descriptor: &Descriptor) -> Self {
        let hasher = Some(Hasher::with(descriptor.digest.algorithm()));
        Self { inner, hasher, expected: descriptor.digest.clone(), size: descriptor.size, seen: 0 }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        self.seen += count as u64;
        if self.seen > self.size {
            return Err(mismatch(Mismatch::Longer { size: self.size }));
        }
        if count > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..count]);
            }
            return Ok(count);
        }
        if self.seen < self.size {
            return Err(mismatch(Mismatch::Shorter { seen: self.seen, size: self.size }));
        }
        if let Some(hasher) = self.hasher.take() {
            let found = hasher.finish();
            if found != self.expected {
                return Err(mismatch(Mismatch::Digest { found }));
            }
        }
        Ok(0)
    }
}

/// Why bytes are not those of their descriptor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// There are more.
    #[error("it is longer than the {size} bytes that its descriptor says")]
    Longer {
        /// What the descriptor says, in bytes.
        size: u64,
    },
    /// There are fewer.
    #[error("it ends after {seen} of {size} bytes")]
    Shorter {
        /// How many there are.
        seen: u64,
        /// What the descriptor says.
        size: u64,
    },
    /// They are others.
    #[error("its content has digest {found}")]
    Digest {
        /// What they hash to.
        found: Digest,
    },
}

impl Mismatch {
    /// The mismatch that an error of a [`Verified`] reader stands for.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

fn mismatch(why: Mismatch) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], descriptor: &Descriptor) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Verified::new(content, descriptor).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn only_the_described_bytes_pass() {
        let descriptor = Descriptor::of("x/y", b"hello");
        assert_eq!(read(b"hello", &descriptor).unwrap(), b"hello");
        for wrong in [&b"hell"[..], b"hello!", b"hellp", b""] {
            assert!(read(wrong, &descriptor).is_err());
        }
    }
}
