//! Small files, written by a second thread while the first makes those that follow: of the time that many small files
//! take, half goes into their names and half into what is in them.

use std::fs::File;
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::error::ExtractError;
use super::root::{Handle, Metadata};

/// A file of at most so many bytes is small.
pub(super) const SMALL: u64 = 64 << 10;

/// How many of them wait at most. Each has an open descriptor.
const WAITING: usize = 16;

/// A file that was made, and what it will be.
pub(super) struct Small {
    pub(super) path: String,
    pub(super) file: File,
    pub(super) content: Vec<u8>,
    pub(super) metadata: Metadata,
}

/// Takes small files.
pub(super) struct Writer(SyncSender<Small>);

impl Writer {
    /// Takes a file. It is whole when [`run`] returns.
    pub(super) fn put(&self, small: Small) -> Result<(), ExtractError> {
        let ended = io::ErrorKind::BrokenPipe; // its own error is the one that is told
        self.0.send(small).map_err(|lost| ExtractError::disk("write", &lost.0.path, ended.into()))
    }
}

/// Runs `work` beside a thread that writes what `work` puts.
pub(super) fn run<T>(work: impl FnOnce(&Writer) -> Result<T, ExtractError>) -> Result<T, ExtractError> {
    thread::scope(|scope| {
        let (to, waiting) = sync_channel(WAITING);
        let writing = scope.spawn(move || waiting.into_iter().try_for_each(write));
        let writer = Writer(to);
        let worked = work(&writer);
        drop(writer);
        let written = writing.join().unwrap_or_else(|panic| resume_unwind(panic));
        written.and(worked)
    })
}

fn write(small: Small) -> Result<(), ExtractError> {
    let Small { path, mut file, content, metadata } = small;
    file.write_all(&content).map_err(|source| ExtractError::disk("write", &path, source))?;
    Handle::finish_file(&file, metadata).map_err(|source| ExtractError::disk("finish", &path, source))
}
