//! What goes wrong between stores.

use std::io;
use std::path::PathBuf;

use super::verified::Mismatch;
use crate::documents::{Descriptor, DocumentError};
use crate::failure::{Class, Failure};
use crate::fs::FileError;
use crate::values::tag::TagError;

/// Why content could not be read from or written to a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("{0}")]
    File(#[from] FileError),
    /// A checked document is not what it should be.
    #[error("{object} is malformed")]
    Document {
        /// The document's digest or path.
        object: String,
        /// What is wrong with it.
        source: Box<DocumentError>,
    },
    /// The directory or file is no OCI image layout.
    #[error("`{}` is not an OCI image layout: {reason}", path.display())]
    NotALayout {
        /// The directory or file.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// The tag or digest is not there.
    #[error("{store} has no `{wanted}`")]
    NotFound {
        /// The store.
        store: String,
        /// The tag or digest.
        wanted: String,
        /// The tags that are there.
        available: Vec<String>,
    },
    /// The registry has no repository of this name, or shows it to others only.
    #[error("{store} does not exist")]
    NoRepository {
        /// The repository.
        store: String,
    },
    /// No tag was given and there is not exactly one.
    #[error("{store} has {} tags and none was named", available.len())]
    Ambiguous {
        /// The store.
        store: String,
        /// The tags that are there.
        available: Vec<String>,
    },
    /// No tag was given, and there are several images without one.
    #[error("{store} has {} images without a tag and none was named", available.len())]
    Untagged {
        /// The store.
        store: String,
        /// Their digests, each with its platforms: `sha256:... (linux/amd64)`.
        available: Vec<String>,
    },
    /// Nothing is in it.
    #[error("{store} holds no image")]
    Empty {
        /// The store.
        store: String,
    },
    /// One tag stands twice.
    #[error("{store} names the tag `{tag}` twice")]
    DuplicateTag {
        /// The store.
        store: String,
        /// The tag.
        tag: String,
    },
    /// The image has no manifest for the platform.
    #[error("{image} has no image for platform {wanted}")]
    NoPlatform {
        /// The image.
        image: String,
        /// What was asked for.
        wanted: String,
        /// What is there.
        available: Vec<String>,
    },
    /// Images of one platform for several versions of its system.
    #[error("{image} has several images for platform {wanted}")]
    Versions {
        /// The image.
        image: String,
        /// What was asked for.
        wanted: String,
        /// What is there.
        available: Vec<String>,
    },
    /// Content that a document points at is absent.
    #[error("{store} lacks blob {digest}")]
    MissingBlob {
        /// The store.
        store: String,
        /// The blob.
        digest: String,
    },
    /// Content is not what its descriptor says.
    #[error("blob {digest} of {store} is corrupt")]
    Corrupt {
        /// The store.
        store: String,
        /// The blob.
        digest: String,
        /// Size or digest that was found.
        source: Mismatch,
    },
    /// A blob must be a regular file.
    #[error("cannot read `{}`", path.display())]
    NotAFile {
        /// Where something else lies.
        path: PathBuf,
        /// Says so.
        source: io::Error,
    },
    /// Content could not be read to its end.
    #[error("failed to read {digest} from {store}")]
    Reading {
        /// The store.
        store: String,
        /// The blob.
        digest: String,
        /// The reason.
        source: io::Error,
    },
    /// What is to be written would be larger than what is read.
    #[error("{object} would have {count} {of}, and more than {limit} are never read")]
    Full {
        /// The document or archive.
        object: String,
        /// How many it would have.
        count: u64,
        /// `bytes` or `blobs`.
        of: &'static str,
        /// The cap.
        limit: u64,
    },
    /// A document is larger than any honest one.
    #[error("{object} is {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// The document.
        object: String,
        /// Its size.
        size: u64,
        /// The cap.
        limit: u64,
    },
    /// Indexes nest too deep.
    #[error("{object} nests indexes deeper than {}", crate::documents::NESTING_LIMIT)]
    TooDeep {
        /// The innermost index that was reached.
        object: String,
    },
    /// A blob that was to be reused vanished before the commit.
    #[error("blob {digest} was removed from {store} by another process")]
    Vanished {
        /// The store.
        store: String,
        /// The blob.
        digest: String,
    },
    /// `--no-clobber` and the tag names something else.
    #[error("tag `{tag}` of {store} already names {old}")]
    Clobber {
        /// The store.
        store: String,
        /// The tag.
        tag: String,
        /// What it names.
        old: String,
    },
    /// A tag to set that no registry takes.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A registry or another store with errors of its own.
    #[error("{0}")]
    Remote(#[from] RemoteError),
}

/// What is removed cannot all be read, so that some of it may stay: a warning.
#[derive(Debug, thiserror::Error)]
#[error("not all of {what} can be read: {error}")]
pub struct Unread {
    /// What is removed.
    pub what: String,
    /// Why not.
    pub error: StoreError,
}

impl Failure for Unread {}

/// The error of a store that has an error type of its own.
#[derive(Debug)]
pub struct RemoteError(Box<dyn Failure>);

impl RemoteError {
    /// Wraps the store's error.
    pub fn new(error: impl Failure) -> Self {
        Self(Box::new(error))
    }
}

impl std::fmt::Display for RemoteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for RemoteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

impl StoreError {
    /// Sorts a failed read of checked content: a mismatch is corruption, anything else is a failed read.
    pub fn reading(store: &str, descriptor: &Descriptor, error: io::Error) -> Self {
        let (store, digest) = (store.to_owned(), descriptor.digest.to_string());
        match Mismatch::of(&error).cloned() {
            Some(source) => Self::Corrupt { store, digest, source },
            None => Self::Reading { store, digest, source: error },
        }
    }
}

impl StoreError {
    /// Names the source in an error of a sink, which does not know it.
    #[must_use]
    pub fn from_source(self, name: &str) -> Self {
        match self {
            Self::Corrupt { store, digest, source } if store == UNKNOWN => {
                Self::Corrupt { store: name.to_owned(), digest, source }
            }
            Self::Reading { store, digest, source } if store == UNKNOWN => {
                Self::Reading { store: name.to_owned(), digest, source }
            }
            other => other,
        }
    }
}

/// What a sink calls the source that its content comes from.
pub(super) const UNKNOWN: &str = "the source";

impl Failure for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Ambiguous { .. } | Self::Untagged { .. } | Self::Versions { .. } | Self::Tag(_) => Class::Usage,
            Self::Remote(inner) => inner.0.class(),
            _ => Class::Failed,
        }
    }
}
