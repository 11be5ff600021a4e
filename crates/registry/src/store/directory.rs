//! A directory, for a web server as well.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use plugin_oci::fs::{TempFile, create_dirs};
use plugin_oci::stores::bucket::Directory;
use plugin_oci::stores::bucket::objects::Objects as _;
use tokio::task::{JoinHandle, spawn_blocking};

use super::buffers::{Buffer, Share, Sharer, Spare};
use super::reading::{Readers, blocking};
use super::{Condition, Entry, Kind, Meta, Object, Part, Read, StoreFault, UPLOADS};

/// What all that are being pushed have in memory together.
const TOGETHER: usize = 8 << 20;
/// Buffers that are kept for who pushes next.
const KEPT: usize = 16;
pub(super) const BASE: &str = "v2/";

/// A directory, by which work that waits for the disk is kept away from what waits for the network.
pub struct Folder {
    root: PathBuf,
    readers: Readers,
    writers: Share,
    spare: Arc<Spare>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, StoreFault> {
        let failed = |error: &dyn std::fmt::Display| StoreFault::new(&path.display().to_string(), error);
        create_dirs(path).map_err(|error| failed(&error))?;
        let kind = Kind::changing(plugin_oci::stores::bucket::objects::JSON);
        // So that a web server serves it.
        Directory::new(path).put(BASE, &kind, b"{}", &Condition::Absent).map_err(|error| failed(&error))?;
        Ok(Self { root: path.to_owned(), readers: Readers::new(), writers: Share::of(TOGETHER), spare: Spare::new(KEPT) })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    async fn run<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Directory, &str) -> Result<T, plugin_oci::stores::StoreError> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let (root, key) = (self.root.clone(), key.to_owned());
        blocking(move || work(&Directory::new(&root), &key).map_err(|error| StoreFault::new(&key, error))).await
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<Meta>, StoreFault> {
        self.run(key, |directory, key| {
            let Some((file, size)) = directory.file(key)? else { return Ok(None) };
            let modified = file.metadata().and_then(|found| found.modified());
            Ok(Some(Meta { size, modified: modified.unwrap_or(std::time::UNIX_EPOCH) }))
        })
        .await
    }

    pub(super) async fn read(&self, key: &str, part: Option<Part>) -> Result<Read, StoreFault> {
        let Some((mut file, size)) = self.run(key, Directory::file).await? else { return Ok(Read::Absent) };
        let range = match part {
            None => 0..size,
            Some(part) => match part.of(size) {
                Some(range) => range,
                None => return Ok(Read::Outside { size }),
            },
        };
        if range.start > 0 {
            file.seek(SeekFrom::Start(range.start)).map_err(|error| StoreFault::new(key, error))?;
        }
        let pieces = self.readers.pieces(key, file, range.end - range.start);
        Ok(Read::Found { size, range, pieces })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Object>, StoreFault> {
        self.run(key, Directory::get).await
    }

    pub(super) async fn put(&self, key: &str, kind: &Kind, bytes: Vec<u8>, condition: Condition) -> Result<bool, StoreFault> {
        let kind = kind.clone();
        self.run(key, move |directory, key| directory.put(key, &kind, &bytes, &condition)).await
    }

    pub(super) async fn begin(&self, key: &str) -> Result<Writing, StoreFault> {
        let temp = self.run(key, |directory, _| directory.begin()).await?;
        let (share, spare) = (self.writers.join(), self.spare.clone());
        Ok(Writing { root: self.root.clone(), key: key.to_owned(), written: Written::Idle(temp), share, spare, waiting: None })
    }

    pub(super) async fn link(&self, from: &str, to: &str) -> Result<(), StoreFault> {
        let to = to.to_owned();
        self.run(from, move |directory, from| directory.link(from, &to)).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreFault> {
        self.run(key, Directory::delete).await?;
        if let Some((folder, _)) = key.rsplit_once('/').filter(|(folder, _)| folder.starts_with(UPLOADS)) {
            // Where it was the last part of an upload.
            drop(tokio::fs::remove_dir(self.root.join(folder)).await);
        }
        Ok(())
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Entry>, StoreFault> {
        self.run(folder, Directory::list).await
    }
}

/// A file without a name.
pub(crate) struct Writing {
    root: PathBuf,
    key: String,
    written: Written,
    share: Sharer,
    spare: Arc<Spare>,
    waiting: Option<Buffer>,
}

/// The file, or what is being written to it while more comes.
enum Written {
    Idle(TempFile),
    Busy(JoinHandle<Result<TempFile, StoreFault>>),
    Failed,
}

impl Writing {
    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreFault> {
        while !bytes.is_empty() {
            let mut buffer = self.waiting.take().unwrap_or_else(|| self.spare.take(self.share.size()));
            if buffer.fill(&mut bytes, usize::MAX) {
                self.flush(buffer).await?;
            } else {
                self.waiting = Some(buffer);
            }
        }
        Ok(())
    }

    /// The file, once everything before is written.
    async fn file(&mut self) -> Result<TempFile, StoreFault> {
        match std::mem::replace(&mut self.written, Written::Failed) {
            Written::Idle(temp) => Ok(temp),
            Written::Busy(task) => task.await.map_err(|error| StoreFault::new(&self.key, error))?,
            Written::Failed => Err(StoreFault::new(&self.key, "a write before has failed")),
        }
    }

    async fn flush(&mut self, buffer: Buffer) -> Result<(), StoreFault> {
        let (mut temp, key) = (self.file().await?, self.key.clone());
        self.written = Written::Busy(spawn_blocking(move || {
            temp.write_all(buffer.as_ref()).map_err(|error| StoreFault::new(&key, error))?;
            Ok(temp)
        }));
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<(), StoreFault> {
        let (last, mut temp) = (self.waiting.take(), self.file().await?);
        let Self { root, key, .. } = self;
        blocking(move || {
            if let Some(last) = last {
                temp.write_all(last.as_ref()).map_err(|error| StoreFault::new(&key, error))?;
            }
            Directory::new(&root).settle(temp, &key).map_err(|error| StoreFault::new(&key, error))
        })
        .await
    }
}
