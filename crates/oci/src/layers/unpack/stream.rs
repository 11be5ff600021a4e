//! A layer's bytes on their way: one thread decompresses, one hashes, the caller reads.
//!
//! Threats: *bombs* (the budget and the ratio are checked before a piece is handed on); *a tail that one decoder reads and
//! another does not* (all gzip members and all zstd frames are read, and whatever follows them is refused; a skippable
//! zstd frame holds no content by definition and reads as nothing); *memory* (the zstd window is capped, a fixed number
//! of buffers goes round).
//!
//! The compressed reader is always read to its end, so a reader that checks a digest there has checked it.

use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::error::ExtractError;
use super::limits::{Bound, Exceeded, Limits};
use crate::layers::tar::Stream;
use crate::values::compression::Compression;
use crate::values::digest::{Algorithm, Digest, Hasher};

/// Size of one piece, and how many of them exist at most per receiver.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

/// A compressed layer.
pub struct LayerInput<'a> {
    /// The bytes as stored.
    pub reader: Box<dyn Read + Send + 'a>,
    /// How they are compressed; never guessed from the bytes.
    pub compression: Compression,
    /// What the image configuration says the uncompressed tar is; `None` accepts, and reports, any.
    pub diff_id: Option<Digest>,
}

/// What the uncompressed tar turned out to be.
pub(super) struct Facts {
    pub(super) diff_id: Digest,
    pub(super) tar_size: u64,
}

type Piece = Arc<Vec<u8>>;

/// Runs `work` over the uncompressed bytes of a layer; checks the diff id once all are read. `spent` counts uncompressed
/// bytes over several layers.
pub(super) fn run<T>(
    input: LayerInput<'_>,
    limits: &Limits,
    spent: &mut u64,
    work: impl FnOnce(&mut Pieces) -> Result<T, ExtractError>,
) -> Result<(T, Facts), ExtractError> {
    let algorithm = input.diff_id.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
    let stated = input.diff_id;
    let budget = limits.unpacked_bytes.saturating_sub(*spent);
    let total = AtomicU64::new(0);
    let (to_work, at_work) = sync_channel(PIECES);
    let (to_hash, at_hash) = sync_channel::<Piece>(PIECES);
    let (pool, free) = channel();
    let mut pieces = Pieces { receiver: at_work, current: None, position: 0, pool: pool.clone(), done: false };
    let (result, pumped, diff_id) = thread::scope(|scope| {
        let pump = Pump { to_work, to_hash, free, budget, limits, total: &total };
        let pumping = scope.spawn(move || pump.run(input.reader, input.compression));
        let hashing = scope.spawn(move || hash(&at_hash, algorithm, &pool));
        let result = work(&mut pieces);
        // Whatever `work` left unread is not waited for: the pump stops at its next piece.
        drop(pieces);
        (result, pumping.join(), hashing.join())
    });
    *spent += total.load(Ordering::Relaxed);
    let result = result?;
    // A decoder that panicked has handed on less than there is.
    let (Ok(()), Ok(diff_id)) = (pumped, diff_id) else { return Err(ExtractError::Truncated { offset: *spent }) };
    if let Some(stated) = stated.filter(|stated| *stated != diff_id) {
        return Err(ExtractError::DiffId { stated, actual: diff_id });
    }
    Ok((result, Facts { diff_id, tar_size: total.into_inner() }))
}

fn hash(pieces: &Receiver<Piece>, algorithm: Algorithm, pool: &Sender<Vec<u8>>) -> Digest {
    let mut hasher = Hasher::with(algorithm);
    while let Ok(piece) = pieces.recv() {
        hasher.update(&piece);
        give_back(piece, pool);
    }
    hasher.finish()
}

/// Whoever drops a piece last returns its buffer.
fn give_back(piece: Piece, pool: &Sender<Vec<u8>>) {
    if let Some(buffer) = Arc::into_inner(piece) {
        // The pump may be gone: then the buffer is only freed.
        let _ = pool.send(buffer);
    }
}

/// The receiving end: what the tar walker reads.
pub(super) struct Pieces {
    receiver: Receiver<Result<Piece, ExtractError>>,
    current: Option<Piece>,
    position: usize,
    pool: Sender<Vec<u8>>,
    done: bool,
}

impl Stream for &mut Pieces {
    type Error = ExtractError;

    fn fill(&mut self) -> Result<&[u8], ExtractError> {
        while !self.done && self.current.as_ref().is_none_or(|piece| self.position == piece.len()) {
            if let Some(piece) = self.current.take() {
                give_back(piece, &self.pool);
            }
            self.position = 0;
            match self.receiver.recv() {
                Ok(piece) => self.current = Some(piece?),
                Err(_) => self.done = true,
            }
        }
        Ok(self.current.as_ref().map_or(&[], |piece| &piece[self.position..]))
    }

    fn consume(&mut self, bytes: usize) {
        self.position += bytes;
    }
}

/// The decompressing thread.
struct Pump<'a> {
    to_work: SyncSender<Result<Piece, ExtractError>>,
    to_hash: SyncSender<Piece>,
    free: Receiver<Vec<u8>>,
    budget: u64,
    limits: &'a Limits,
    total: &'a AtomicU64,
}

impl Pump<'_> {
    fn run(self, reader: Box<dyn Read + Send + '_>, compression: Compression) {
        let compressed = AtomicU64::new(0);
        let failed = Mutex::new(None);
        let counting = BufReader::with_capacity(128 << 10, Counting { reader, count: &compressed, failed: &failed });
        let wrap = |source| match failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(source) => ExtractError::Stored { source },
            None => ExtractError::Decompress { compression, source },
        };
        let result = match compression {
            Compression::Gzip => self.pump(flate2::bufread::MultiGzDecoder::new(counting), &compressed, wrap),
            Compression::Zstd => zstd::stream::read::Decoder::with_buffer(counting)
                .and_then(|mut decoder| decoder.window_log_max(self.limits.zstd_window_log).map(|()| decoder))
                .map_err(wrap)
                .and_then(|decoder| self.pump(decoder, &compressed, wrap)),
            Compression::None => self.pump(counting, &compressed, wrap),
        };
        if let Err(error) = result {
            // A receiver that is gone has an error of its own.
            let _ = self.to_work.send(Err(error));
        }
    }

    fn pump(
        &self,
        mut decoder: impl Read,
        compressed: &AtomicU64,
        wrap: impl Fn(io::Error) -> ExtractError,
    ) -> Result<(), ExtractError> {
        let mut buffers = 0;
        loop {
            let mut piece = match self.free.try_recv() {
                Ok(buffer) => buffer,
                Err(_) if buffers < 2 * PIECES + 4 => {
                    buffers += 1;
                    vec![0; PIECE]
                }
                // Both receivers hold the rest: one of them will return a buffer, or both are gone.
                Err(_) => match self.free.recv() {
                    Ok(buffer) => buffer,
                    Err(_) => return Ok(()),
                },
            };
            piece.resize(PIECE, 0);
            let filled = read_full(&mut decoder, &mut piece).map_err(&wrap)?;
            piece.truncate(filled);
            self.check(filled as u64, compressed.load(Ordering::Relaxed))?;
            if filled == 0 {
                return Ok(());
            }
            let piece = Arc::new(piece);
            if self.to_hash.send(Arc::clone(&piece)).is_err() || self.to_work.send(Ok(piece)).is_err() {
                return Ok(());
            }
        }
    }

    fn check(&self, more: u64, compressed: u64) -> Result<(), ExtractError> {
        let total = self.total.fetch_add(more, Ordering::Relaxed) + more;
        if total > self.budget {
            return Err(ExtractError::Limit(Exceeded { what: Bound::UnpackedBytes, allowed: self.limits.unpacked_bytes }));
        }
        if total > self.limits.ratio_from && total / self.limits.ratio.max(1) > compressed {
            return Err(ExtractError::Limit(Exceeded { what: Bound::Ratio, allowed: self.limits.ratio }));
        }
        Ok(())
    }
}

/// Fills the buffer, or as much of it as there is.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Counts compressed bytes as they are taken.
struct Counting<'a> {
    reader: Box<dyn Read + Send + 'a>,
    count: &'a AtomicU64,
    /// The reader's own error, so that it is not taken for the decoder's.
    failed: &'a Mutex<Option<io::Error>>,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            io::Error::from(kind)
        })?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
