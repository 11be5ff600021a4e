//! Where objects lie: a directory or a bucket, in the format of [`plugin_oci::stores::bucket`].
//!
//! No object appears before it is whole, and none is read into memory but documents, which have a limit.

mod buffers;
mod client;
mod cloud;
mod directory;
mod leases;
mod lists;
mod marks;
mod parts;
mod profile;
mod reading;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use plugin_oci::environment::Environment;
pub use plugin_oci::stores::bucket::Condition;
pub use plugin_oci::stores::bucket::objects::{Entry, Kind, Object};

use self::cloud::Cloud;
use self::directory::Folder;
pub(crate) use self::leases::Lease;
pub(crate) use self::lists::{Listed, Refers, reconcile, withdraw};
pub(crate) use self::marks::{Mark, Marked, Sort, Verdict, marked};
pub(crate) use self::parts::TURN;
use crate::fault::Fault;

/// Below what parts of uploads lie.
pub(crate) const UPLOADS: &str = "_r/up/";

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {message}")]
pub struct StoreFault {
    key: String,
    message: String,
}

impl StoreFault {
    pub(crate) fn new(key: &str, error: impl std::fmt::Display) -> Self {
        Self { key: key.to_owned(), message: error.to_string() }
    }
}

impl From<StoreFault> for Fault {
    /// What the store says is for whoever runs it: it goes to the log, and not to clients.
    fn from(fault: StoreFault) -> Self {
        eprintln!("{}", serde_json::json!({"level": "error", "message": fault.to_string()}));
        Self::unavailable("the store does not answer").with(axum::http::header::RETRY_AFTER, "1")
    }
}

/// The bytes of an object.
pub type Pieces = BoxStream<'static, Result<Bytes, StoreFault>>;

/// Which bytes of an object are wanted (RFC 9110, section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// From one byte to another, or to the end.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl Part {
    /// The bytes of an object of this size, which are some; `None` where there are none of those.
    fn of(self, size: u64) -> Option<std::ops::Range<u64>> {
        match self {
            Self::From(first, last) => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                (first < end).then_some(first..end)
            }
            Self::Last(count) => (count > 0 && size > 0).then(|| size.saturating_sub(count)..size),
        }
    }
}

/// What an object is.
pub struct Meta {
    /// How many bytes it has.
    pub size: u64,
    /// When it was written, by the clock of the store.
    pub modified: SystemTime,
}

/// An object that is being read.
pub enum Read {
    /// It, or a part of it.
    Found {
        /// How many bytes the whole has.
        size: u64,
        /// Which of them follow.
        range: std::ops::Range<u64>,
        /// Those.
        pieces: Pieces,
    },
    /// It has none of the bytes that are wanted.
    Outside {
        /// How many it has.
        size: u64,
    },
    /// There is none.
    Absent,
}

/// A store.
#[derive(Clone)]
pub enum Store {
    /// A directory.
    Directory(Arc<Folder>),
    /// A bucket.
    Bucket(Arc<Cloud>),
}

/// A blob that is being written. Dropped before it is finished, it never was.
pub(crate) enum Writer {
    Directory(directory::Writing),
    Bucket(writing::Writing),
}

macro_rules! each {
    ($self:expr, $place:ident => $call:expr) => {
        match $self {
            Store::Directory($place) => $call,
            Store::Bucket($place) => $call,
        }
    };
}

impl Store {
    /// The store at `DIR`, or at the URL of a bucket (`s3://`, `gs://`, `az://`). A directory is made where it is not there.
    pub fn open(location: &str, environment: &Environment) -> Result<Self, StoreFault> {
        if location.contains("://") {
            return Ok(Self::Bucket(Arc::new(Cloud::open(location, environment)?)));
        }
        let path = environment.resolve(Path::new(location));
        Ok(Self::Directory(Arc::new(Folder::open(&path)?)))
    }

    /// The directory, where it is one.
    pub fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Directory(folder) => Some(folder.root().to_owned()),
            Self::Bucket(_) => None,
        }
    }

    /// Says of a bucket that it is a registry. Only servers of files before it lack that where it cannot be said.
    pub(crate) async fn found(&self) {
        if let Self::Bucket(place) = self
            && let Err(fault) = place.found().await
        {
            drop(Fault::from(fault));
        }
    }

    /// What an object is, where it is there.
    pub(crate) async fn head(&self, key: &str) -> Result<Option<Meta>, StoreFault> {
        each!(self, place => place.head(key).await)
    }

    /// Opens an object, or a part of it.
    pub(crate) async fn read(&self, key: &str, part: Option<Part>) -> Result<Read, StoreFault> {
        each!(self, place => place.read(key, part).await)
    }

    /// A document, of at most [`MANIFEST_LIMIT`](plugin_oci::documents::MANIFEST_LIMIT) bytes.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Object>, StoreFault> {
        each!(self, place => place.get(key).await)
    }

    /// Writes a document where the condition holds; whether it did.
    pub(crate) async fn put(&self, key: &str, kind: &Kind, bytes: Vec<u8>, condition: Condition) -> Result<bool, StoreFault> {
        each!(self, place => place.put(key, kind, bytes, condition).await)
    }

    /// Begins a blob; of so many bytes, where that is known.
    pub(crate) async fn begin(&self, key: &str, length: Option<u64>) -> Result<Writer, StoreFault> {
        match self {
            Self::Directory(place) => Ok(Writer::Directory(place.begin(key).await?)),
            Self::Bucket(place) => Ok(Writer::Bucket(place.begin(key, length)?)),
        }
    }

    /// Copies a blob, of a known size, to another key.
    pub(crate) async fn copy(&self, from: &str, to: &str, size: u64) -> Result<(), StoreFault> {
        let in_one_request = match self {
            // Not every file system has second names.
            Self::Directory(place) => place.link(from, to).await.is_ok(),
            Self::Bucket(place) => size <= cloud::COPY_LIMIT && place.copy(from, to).await?,
        };
        if in_one_request {
            return Ok(());
        }
        let mut writer = self.begin(to, Some(size)).await?;
        writer.write_all_of(self, from).await?;
        writer.finish().await
    }

    /// A URL by which anybody may read an object for a while, where the store has such.
    pub(crate) async fn url(&self, key: &str) -> Result<Option<String>, StoreFault> {
        match self {
            Self::Directory(_) => Ok(None),
            Self::Bucket(place) => place.url(key).await.map(Some),
        }
    }

    /// Removes what may be there.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), StoreFault> {
        each!(self, place => place.delete(key).await)
    }

    /// Everything whose key starts with this folder, which ends in `/`; sorted by key.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Entry>, StoreFault> {
        each!(self, place => place.list(folder).await)
    }
}

impl Writer {
    /// Adds bytes.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), StoreFault> {
        match self {
            Self::Directory(writing) => writing.write(bytes).await,
            Self::Bucket(writing) => writing.write(bytes).await,
        }
    }

    /// Called every [`TURN`] while no bytes come: others may need the room that it has.
    pub(crate) async fn give_way(&mut self) -> Result<(), StoreFault> {
        match self {
            Self::Directory(_) => Ok(()),
            Self::Bucket(writing) => writing.give_way().await,
        }
    }

    /// Adds a whole other object.
    pub(crate) async fn write_all_of(&mut self, store: &Store, key: &str) -> Result<(), StoreFault> {
        use futures_util::StreamExt as _;
        let Read::Found { mut pieces, .. } = store.read(key, None).await? else {
            return Err(StoreFault::new(key, "it is no longer there"));
        };
        while let Some(piece) = pieces.next().await {
            self.write(piece?).await?;
        }
        Ok(())
    }

    /// Gives it its key, with everything that was written, durably.
    pub(crate) async fn finish(self) -> Result<(), StoreFault> {
        match self {
            Self::Directory(writing) => writing.finish().await,
            Self::Bucket(writing) => writing.finish().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_there_is_of_it() {
        for (part, size, wanted) in [
            (Part::From(0, None), 3, Some(0..3)),
            (Part::From(1, Some(1)), 3, Some(1..2)),
            (Part::From(1, Some(u64::MAX)), 3, Some(1..3)),
            (Part::From(3, None), 3, None),
            (Part::From(2, Some(1)), 3, None),
            (Part::Last(2), 3, Some(1..3)),
            (Part::Last(9), 3, Some(0..3)),
            (Part::Last(0), 3, None),
            (Part::Last(1), 0, None),
        ] {
            assert_eq!(part.of(size), wanted, "{part:?} of {size}");
        }
    }
}
