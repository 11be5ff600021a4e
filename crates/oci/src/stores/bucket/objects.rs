//! What is asked of a place that keeps objects.

use std::io::Read;
use std::time::{Duration, SystemTime};

use super::BucketError;
use crate::documents::Descriptor;
use crate::stores::registry::Condition;
use crate::stores::{Reopen, StoreError};

/// The media type of what is neither a blob nor a document of an image.
pub const JSON: &str = "application/json";
/// That of blobs (distribution-spec, "Pulling blobs").
const BLOB: &str = "application/octet-stream";
/// What a digest names never changes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const CHANGING: &str = "no-cache";

/// How often a change is tried. Of those who try at once one gets through each time.
const ROUNDS: u32 = 500;

/// What an object is served as.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The media type.
    pub content_type: String,
    /// For how long others may keep it.
    pub cache_control: &'static str,
}

impl Kind {
    /// A blob.
    pub fn blob() -> Self {
        Self { content_type: BLOB.to_owned(), cache_control: IMMUTABLE }
    }

    /// A document under its digest.
    pub fn fixed(media_type: &str) -> Self {
        Self { content_type: media_type.to_owned(), cache_control: IMMUTABLE }
    }

    /// What may be another tomorrow.
    pub fn changing(media_type: &str) -> Self {
        Self { content_type: media_type.to_owned(), cache_control: CHANGING }
    }
}

/// A small object.
pub struct Object {
    /// The content.
    pub bytes: Vec<u8>,
    /// What a write can be conditional upon.
    pub version: String,
    /// What it is served as, where that is known.
    pub content_type: Option<String>,
}

/// An object in a listing.
pub struct Entry {
    /// Its key.
    pub key: String,
    /// How many bytes it has.
    pub size: u64,
    /// By the clock of the place.
    pub modified: SystemTime,
}

/// A place that keeps objects. Each appears whole or not at all.
pub trait Objects: Sync {
    /// How a person calls it.
    fn name(&self) -> String;

    /// A document, at most [`MANIFEST_LIMIT`](crate::documents::MANIFEST_LIMIT) bytes.
    fn get(&self, key: &str) -> Result<Option<Object>, StoreError>;

    /// The content, unchecked.
    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send + '_>>, StoreError>;

    /// How many bytes it has.
    fn size(&self, key: &str) -> Result<Option<u64>, StoreError>;

    /// Writes a document where the condition holds; whether it did.
    fn put(&self, key: &str, kind: &Kind, bytes: &[u8], condition: &Condition) -> Result<bool, StoreError>;

    /// Writes a blob.
    fn put_blob(&self, key: &str, blob: &Descriptor, open: &Reopen<'_>) -> Result<(), StoreError>;

    /// Removes what may be there.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Everything whose key starts so, sorted by key.
    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// How many blobs may be written at once.
    fn parallelism(&self) -> usize;
}

/// Changes a document that others may change at the same time. `change` is told what is there, and gives what is to be there:
/// `None` where that is the same.
pub(super) fn update(
    objects: &dyn Objects,
    key: &str,
    kind: &Kind,
    change: impl Fn(Option<&Object>) -> Result<Option<Vec<u8>>, StoreError>,
) -> Result<(), StoreError> {
    for round in 0..ROUNDS {
        let now = objects.get(key)?;
        let Some(bytes) = change(now.as_ref())? else { return Ok(()) };
        let condition = now.map_or(Condition::Absent, |now| Condition::Unchanged(now.version));
        if objects.put(key, kind, &bytes, &condition)? {
            return Ok(());
        }
        // Not all at the same time again.
        std::thread::sleep(Duration::from_millis(u64::from((std::process::id() + round * 7) % 50)));
    }
    Err(BucketError::Contended { store: objects.name(), key: key.to_owned() }.into())
}
