//! What goes wrong with buckets.

use std::time::SystemTime;

use crate::failure::{Class, Failure};
use crate::stores::{RemoteError, StoreError};

/// Why a bucket did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Neither a bucket nor a directory.
    #[error("`{0}` names no bucket")]
    Location(String),
    /// The endpoint is no URL.
    #[error("`{0}` is no URL of a bucket")]
    Endpoint(String),
    /// Nothing says who asks.
    #[error("there are no credentials for S3, neither in the environment nor in the profile `{profile}`")]
    NoCredentials {
        /// A profile of AWS's tools.
        profile: String,
    },
    /// The store says no.
    #[error("{url} answered {status}{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Refused {
        /// The object.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the store said, cleaned.
        said: String,
    },
    /// A listing that says neither size nor date of an object.
    #[error("{store} lists its objects in no form that can be read")]
    Listing {
        /// The bucket.
        store: String,
    },
    /// The place writes although a condition does not hold.
    #[error("{store} ignores conditions on writes (`If-None-Match`)")]
    Unconditional {
        /// The bucket.
        store: String,
    },
    /// Somebody else's page is where one is to be written.
    #[error("`{key}` of {store} is there already, and no catalogue of this tool's")]
    Page {
        /// The bucket.
        store: String,
        /// The object.
        key: String,
    },
    /// Others are always quicker.
    #[error("`{key}` of {store} changes faster than it can be written")]
    Contended {
        /// The bucket.
        store: String,
        /// The object.
        key: String,
    },
    /// Somebody publishes, or removes.
    #[error("{store} is in use: `{key}` is there since {}", humantime::format_rfc3339_seconds(*since))]
    InUse {
        /// The bucket.
        store: String,
        /// The other's lease.
        key: String,
        /// By the clock of the place.
        since: SystemTime,
    },
}

impl Failure for BucketError {
    fn class(&self) -> Class {
        match self {
            Self::Location(_) | Self::Endpoint(_) | Self::NoCredentials { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }
}

impl From<BucketError> for StoreError {
    fn from(error: BucketError) -> Self {
        Self::Remote(RemoteError::new(error))
    }
}
