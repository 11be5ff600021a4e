//! Pieces of files on their way to clients: however many are read at once, their buffers together have a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::task::spawn_blocking;

use super::buffers::{Share, Sharer, Spare};
use super::{Pieces, StoreFault};

/// What all that are reading have together.
const TOGETHER: usize = 4 << 20;
/// Buffers that are kept for who reads next.
const KEPT: usize = 16;

/// Those who read.
pub(super) struct Readers {
    share: Share,
    spare: Arc<Spare>,
}

impl Readers {
    pub(super) fn new() -> Self {
        Self { share: Share::of(TOGETHER), spare: Spare::new(KEPT) }
    }

    /// So many bytes of a file from where it stands.
    pub(super) fn pieces(&self, key: &str, file: File, length: u64) -> Pieces {
        let (share, spare) = (self.share.join(), self.spare.clone());
        let reading = Reading { share, spare, file: Some(file), left: length, key: key.to_owned() };
        stream::try_unfold(reading, |mut reading| async move {
            let piece = reading.next().await?;
            Ok(piece.map(|piece| (piece, reading)))
        })
        .boxed()
    }
}

/// A file that is being read.
struct Reading {
    share: Sharer,
    spare: Arc<Spare>,
    file: Option<File>,
    left: u64,
    key: String,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreFault> {
        let Some(mut file) = self.file.take().filter(|_| self.left > 0) else { return Ok(None) };
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.share.size());
        let mut buffer = self.spare.take(wanted);
        let read;
        if let Some(count) = at_hand(&file, &mut buffer.bytes[..wanted]) {
            read = Ok(count);
        } else {
            (file, buffer, read) = blocking(move || {
                let read = file.read(&mut buffer.bytes[..wanted]);
                Ok((file, buffer, read))
            })
            .await?;
        }
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

/// Does what blocks, in a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, StoreFault> {
    spawn_blocking(work).await.map_err(|error| StoreFault::new("a task", error))?
}
