//! Parts of objects on their way to a bucket. A store wants them large, and whole in memory: so those who push take turns.
//!
//! Who has room for a part never waits for more of it, and does not keep it from others for long: what came of a part that does
//! not get full goes to the store as it is, and is read back when there is more of it and its turn comes again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::PutPayload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreFault;
use super::buffers::{Buffer, PIECE, Spare};

/// What all parts have together: 24 MiB.
pub(super) const TOGETHER: usize = 24 << 20;
const BUFFERS: usize = TOGETHER / PIECE;
/// How long a part may take to get full, where others wait.
pub(crate) const TURN: Duration = Duration::from_secs(5);

/// Room for parts.
pub(super) struct Room {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    spare: Arc<Spare>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(BUFFERS)), waiting: AtomicUsize::new(0), spare: Spare::new(BUFFERS) }
    }

    /// Room for a part of so many bytes, once it is there.
    pub(super) async fn part(&self, size: usize) -> Result<Part, StoreFault> {
        let _waiting = Waiting::of(&self.waiting);
        let permits = self.permits.clone().acquire_many_owned(count(size)).await;
        let permits = permits.map_err(|error| StoreFault::new("room for a part", error))?;
        Ok(Part { permits, since: Instant::now(), size, length: 0, pieces: Vec::new() })
    }

    /// More room for a part that has some, where it is there at once.
    pub(super) fn grow(&self, part: &mut Part, size: usize) -> bool {
        let more = count(size).saturating_sub(count(part.size));
        let Ok(permits) = self.permits.clone().try_acquire_many_owned(more) else { return false };
        part.permits.merge(permits);
        part.size = size;
        true
    }

    /// Adds what there is room for; the rest stays.
    pub(super) fn fill(&self, part: &mut Part, bytes: &mut Bytes) {
        while !bytes.is_empty() && !part.is_full() {
            if part.pieces.last().is_none_or(|piece| piece.filled == piece.bytes.len()) {
                part.pieces.push(self.spare.take((part.size - part.length).min(PIECE)));
            }
            let Some(piece) = part.pieces.last_mut() else { return };
            let before = bytes.len();
            piece.fill(bytes, part.size - part.length);
            part.length += before - bytes.len();
        }
    }

    /// Whether a part has had its time, and others want its room.
    pub(super) fn is_overdue(&self, part: &Part) -> bool {
        part.since.elapsed() >= TURN && self.waiting.load(Ordering::Relaxed) > 0
    }
}

fn count(size: usize) -> u32 {
    u32::try_from(size.div_ceil(PIECE)).unwrap_or(u32::MAX)
}

/// Somebody who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part that gets full.
pub(super) struct Part {
    permits: OwnedSemaphorePermit,
    since: Instant,
    size: usize,
    length: usize,
    pieces: Vec<Buffer>,
}

impl Part {
    /// How many bytes it has.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// Whether there is no room for more.
    pub(super) const fn is_full(&self) -> bool {
        self.length == self.size
    }

    /// Its bytes, and what holds its room until they are sent.
    pub(super) fn sent(self) -> (PutPayload, OwnedSemaphorePermit) {
        (self.pieces.into_iter().map(Bytes::from_owner).collect(), self.permits)
    }
}
