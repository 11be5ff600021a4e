//! A bucket, or a directory, whose objects are a registry's URLs: whatever serves it as it is, serves pulls.
//!
//! | file | holds |
//! |---|---|
//! | `objects.rs` | `Objects`: what is asked of a place that keeps objects, and changes by compare-and-swap |
//! | `directory.rs` | a directory, for a web server |
//! | `s3.rs`, `sign.rs`, `profile.rs` | a bucket with the S3 API; signatures; what is configured for it |
//! | `lists.rs` | the documents that are lists: of tags, of referrers |
//! | `published.rs` | one repository, to read from and to write to |
//! | `lease.rs` | what keeps removal and publishing apart |
//! | `sweep.rs` | removing tags, and what no tag reaches |
//!
//! # The objects
//!
//! | key | content | `Content-Type` | `Cache-Control` |
//! |---|---|---|---|
//! | `v2/` | `{}` | `application/json` | `no-cache` |
//! | `v2/NAME/blobs/DIGEST` | the blob | `application/octet-stream` | `immutable` |
//! | `v2/NAME/manifests/DIGEST` | the manifest or index | its media type | `immutable` |
//! | `v2/NAME/manifests/TAG` | the same bytes again | its media type | `no-cache` |
//! | `v2/NAME/referrers/DIGEST` | an index, written also when empty | that of an index | `no-cache` |
//! | `v2/NAME/tags/list` | `{"name": .., "tags": [..]}` | `application/json` | `no-cache` |
//! | `_r/..` | what is nobody else's business: leases | | |
//!
//! They are those of the distribution specification 1.1 ("Endpoints", end-1 to end-3, end-8a, end-12a). Pages (`n`, `last`)
//! and filters (`artifactType`) are query parameters, which a file server ignores, as the specification allows.
//!
//! # What holds at every moment
//!
//! Blobs are there before the manifests that name them, manifests before their indexes, a manifest's list of referrers before
//! itself, what refers to an image before its tag, a tag before the list of tags. Whatever breaks in between leaves content
//! that nothing names, which [`Bucket::collect_garbage`] removes. A tag and a list change on condition that they are as they were read
//! (`If-Match`, `If-None-Match`: RFC 9110, section 13.1), so that of any number of publishers none undoes the work of another.

mod directory;
mod error;
pub mod lease;
pub mod lists;
pub mod objects;
mod profile;
mod published;
mod s3;
mod sign;
mod sweep;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

pub use directory::Directory;
pub use error::BucketError;
pub use profile::Profile;
pub use published::Published;
pub use sweep::Swept;

use self::lease::{Lease, Purpose};
use self::objects::{JSON, Kind, Objects, update};
use self::s3::S3;
use super::StoreError;
use super::registry::Client;
pub use super::registry::Condition;
use crate::environment::Environment;
use crate::values::digest::Digest;

/// The key that says that this is a registry.
const BASE: &str = "v2/";

/// Where a bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory.
    Directory(PathBuf),
    /// `s3://BUCKET/PREFIX`.
    S3 {
        /// The bucket.
        bucket: String,
        /// Below what its objects are; empty for the whole bucket.
        prefix: String,
    },
}

impl Location {
    /// Reads `s3://BUCKET/PREFIX`; `None` for anything else.
    pub fn s3(text: &str) -> Option<Result<Self, BucketError>> {
        let rest = text.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let plain = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let is_good = plain(bucket) && (prefix.is_empty() || prefix.split('/').all(plain));
        Some(if is_good {
            Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        } else {
            Err(BucketError::Location(text.to_owned()))
        })
    }

    /// The directory at a path, where it is a published one.
    pub fn existing(path: &Path) -> Option<Self> {
        path.join(directory::BASE_FILE).is_file().then(|| Self::Directory(path.to_owned()))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// A bucket that is a registry.
pub struct Bucket<'a> {
    objects: Box<dyn Objects + 'a>,
}

impl<'a> Bucket<'a> {
    /// The bucket at a place. Nothing is asked of it yet.
    pub fn open(location: &Location, environment: &Environment, client: &'a Client<'a>) -> Result<Self, StoreError> {
        let objects: Box<dyn Objects + 'a> = match location {
            Location::Directory(path) => Box::new(Directory::new(path)),
            Location::S3 { bucket, prefix } => Box::new(S3::open(bucket, prefix, environment, client)?),
        };
        Ok(Self { objects })
    }

    /// How a person calls it.
    pub fn name(&self) -> String {
        self.objects.name()
    }

    /// The repositories in it, sorted.
    pub fn repositories(&self) -> Result<Vec<String>, StoreError> {
        let keys = self.objects.list(BASE)?;
        let names = keys.iter().filter_map(|entry| entry.key.strip_prefix(BASE)?.strip_suffix("/tags/list"));
        Ok(names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// A repository in it.
    pub fn repository(&self, name: &str) -> Published<'_> {
        Published::new(self.objects.as_ref(), name)
    }

    /// Prepares it for content, and keeps others from removing any until what is returned is dropped.
    pub fn publishing(&self) -> Result<impl Drop + '_, StoreError> {
        let lease = Lease::take(self.objects.as_ref(), Purpose::Publish)?;
        // A place that ignores the condition writes twice.
        if self.found()? && self.found()? {
            return Err(BucketError::Unconditional { store: self.name() }.into());
        }
        Ok(lease)
    }

    /// Says that this is a registry; whether nothing has said so.
    pub fn found(&self) -> Result<bool, StoreError> {
        self.objects.put(BASE, &Kind::changing(JSON), b"{}", &Condition::Absent)
    }

    /// A document beside the registry, as `read` gives it.
    pub fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.objects.get(key)?.map(|found| found.bytes))
    }

    /// Changes a document beside the registry, also while others do. `change` is told what is there, and gives what is to be
    /// there: `None` where that is the same.
    pub fn change(
        &self,
        key: &str,
        content_type: &str,
        change: impl Fn(Option<&[u8]>) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<(), StoreError> {
        update(self.objects.as_ref(), key, &Kind::changing(content_type), |now| change(now.map(|now| now.bytes.as_slice())))
    }

    /// Removes a document beside the registry.
    pub fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.objects.delete(key)
    }

    /// Removes a tag, or an image under all its tags; what it named.
    pub fn unpublish(&self, repository: &str, wanted: &super::Selector) -> Result<Digest, StoreError> {
        let _lease = Lease::take(self.objects.as_ref(), Purpose::Remove)?;
        sweep::unpublish(&self.repository(repository), wanted)
    }

    /// Removes everything that no tag reaches.
    pub fn collect_garbage(&self) -> Result<Vec<Swept>, StoreError> {
        let _lease = Lease::take(self.objects.as_ref(), Purpose::Remove)?;
        sweep::collect(self.objects.as_ref())
    }
}
