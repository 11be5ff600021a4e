//! Pieces of files on their way to clients: however many are read at once, their buffers together have a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::directory::blocking;
use super::{Pieces, StoreFault};

/// What is read at once, where few are reading.
const MOST: usize = 256 << 10;
/// What is read at once, however many are reading.
const LEAST: usize = 16 << 10;
/// What all that are reading have together.
const TOGETHER: usize = 16 << 20;
/// Buffers that are kept for who reads next: what is warm is written and read faster.
const KEPT: usize = 16;

/// Those who read, and buffers that nobody uses.
#[derive(Default)]
pub(super) struct Readers {
    count: AtomicUsize,
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Readers {
    /// So many bytes of a file from where it stands.
    pub(super) fn pieces(self: &Arc<Self>, key: &str, file: File, length: u64) -> Pieces {
        self.count.fetch_add(1, Ordering::Relaxed);
        let reading = Reading { readers: self.clone(), file: Some(file), left: length, key: key.to_owned() };
        stream::try_unfold(reading, |mut reading| async move {
            let piece = reading.next().await?;
            Ok(piece.map(|piece| (piece, reading)))
        })
        .boxed()
    }

    fn buffer(self: &Arc<Self>, left: u64) -> Buffer {
        let size = (TOGETHER / self.count.load(Ordering::Relaxed).max(1)).clamp(LEAST, MOST);
        let size = usize::try_from(left).map_or(size, |left| left.min(size));
        let spare = if size > MOST / 2 { self.spare.lock().ok().and_then(|mut spare| spare.pop()) } else { None };
        let bytes = spare.unwrap_or_else(|| vec![0; if size > MOST / 2 { MOST } else { size }]);
        Buffer { readers: self.clone(), bytes, filled: size }
    }
}

/// A buffer that comes back when nobody needs it any longer.
struct Buffer {
    readers: Arc<Readers>,
    bytes: Vec<u8>,
    filled: usize,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() == MOST
            && let Ok(mut spare) = self.readers.spare.lock()
            && spare.len() < KEPT
        {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// A file that is being read.
struct Reading {
    readers: Arc<Readers>,
    file: Option<File>,
    left: u64,
    key: String,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.readers.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreFault> {
        let Some(file) = self.file.take().filter(|_| self.left > 0) else { return Ok(None) };
        let mut buffer = self.readers.buffer(self.left);
        let wanted = buffer.filled;
        let (file, read, mut buffer) = match at_hand(&file, &mut buffer.bytes[..wanted]) {
            Some(count) => (file, Ok(count), buffer),
            None => {
                blocking(move || {
                    let mut file = file;
                    let read = file.read(&mut buffer.bytes[..wanted]);
                    Ok((file, read, buffer))
                })
                .await?
            }
        };
        match read {
            Ok(0) => Err(StoreFault::new(&self.key, "it ends too early")),
            Ok(count) => {
                buffer.filled = count;
                self.left -= count as u64;
                self.file = Some(file);
                Ok(Some(Bytes::from_owner(buffer)))
            }
            Err(error) => Err(StoreFault::new(&self.key, error)),
        }
    }
}

/// Reads what the system has in memory: where nothing waits for a disk, no other thread has to do it.
#[cfg(target_os = "linux")]
fn at_hand(file: &File, bytes: &mut [u8]) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    // The offset of all ones is where the file stands (preadv2(2)).
    let read = preadv2(file, &mut [io::IoSliceMut::new(bytes)], u64::MAX, ReadWriteFlags::NOWAIT);
    read.ok().filter(|count| *count > 0)
}

#[cfg(not(target_os = "linux"))]
fn at_hand(_: &File, _: &mut [u8]) -> Option<usize> {
    None
}
