//! Memory for bytes that pass through: a buffer comes back when nobody needs it any longer, and is warm for the next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of a buffer.
pub(super) const PIECE: usize = 256 << 10;
/// What each may take at once, however many there are.
const LEAST: usize = 8 << 10;

/// Buffers that nobody uses, up to a number.
pub(super) struct Spare {
    most: usize,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Spare {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, buffers: Mutex::default() })
    }

    /// A buffer for so many bytes, of which there are none yet.
    pub(super) fn take(self: &Arc<Self>, size: usize) -> Buffer {
        let found = (size > PIECE / 2).then(|| self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop()).flatten();
        let bytes = found.unwrap_or_else(|| vec![0; if size > PIECE / 2 { PIECE } else { size }]);
        Buffer { spare: self.clone(), bytes, filled: 0 }
    }
}

/// A buffer, and how many bytes of it are filled.
pub(super) struct Buffer {
    spare: Arc<Spare>,
    pub(super) bytes: Vec<u8>,
    pub(super) filled: usize,
}

impl Buffer {
    /// Adds some bytes, at most so many; whether it is full now.
    pub(super) fn fill(&mut self, bytes: &mut Bytes, most: usize) -> bool {
        let room = (self.bytes.len() - self.filled).min(most);
        let new = bytes.split_to(room.min(bytes.len()));
        self.bytes[self.filled..][..new.len()].copy_from_slice(&new);
        self.filled += new.len();
        self.filled == self.bytes.len()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffers = self.spare.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bytes.len() == PIECE && buffers.len() < self.spare.most {
            buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// How many share so many bytes.
pub(super) struct Share {
    together: usize,
    count: Arc<AtomicUsize>,
}

/// One of those.
pub(super) struct Sharer {
    together: usize,
    count: Arc<AtomicUsize>,
}

impl Share {
    pub(super) fn of(together: usize) -> Self {
        Self { together, count: Arc::default() }
    }

    pub(super) fn join(&self) -> Sharer {
        self.count.fetch_add(1, Ordering::Relaxed);
        Sharer { together: self.together, count: self.count.clone() }
    }
}

impl Sharer {
    /// What it may have now.
    pub(super) fn size(&self) -> usize {
        (self.together / self.count.load(Ordering::Relaxed).max(1)).clamp(LEAST, PIECE)
    }
}

impl Drop for Sharer {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
