//! What is wrong with a delta, or with what it is to be applied to.

use std::io;

use crate::failure::Failure;
use crate::fs::FileError;
use crate::layers::pack::LayerError;
use crate::layers::unpack::{Exceeded, ExtractError};
use crate::stores::{RemoteError, StoreError};
use crate::values::digest::Digest;

/// Why a layer could not be made of another.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// The patch breaks its format.
    #[error("the delta breaks its format: {0}")]
    Malformed(&'static str),
    /// It makes more than is allowed.
    #[error("the delta makes too much: {0}")]
    Limit(#[from] Exceeded),
    /// The patch cannot be read, or is not compressed as it should be.
    #[error("cannot read the delta")]
    Read {
        /// What its reader says.
        source: io::Error,
    },
    /// Only a delta of the layer came, and what that applies to is not here.
    #[error("layer {layer} came as a delta from a layer with diff id {base}, which is not here")]
    NoBase {
        /// The layer.
        layer: Digest,
        /// The diff id of what the delta applies to.
        base: Digest,
    },
    /// What was made is another layer.
    #[error("the delta of layer {layer} makes {found}")]
    Other {
        /// The layer that was wanted.
        layer: Digest,
        /// What came out.
        found: Digest,
    },
    /// The base cannot be unpacked.
    #[error("cannot read the layer that the delta applies to")]
    Base(#[from] ExtractError),
    /// The layer cannot be compressed or written.
    #[error("{0}")]
    Layer(#[from] LayerError),
    /// A temporary file.
    #[error("{0}")]
    File(#[from] FileError),
}

impl DeltaError {
    pub(super) fn unread(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::UnexpectedEof { Self::ended() } else { Self::Read { source } }
    }

    pub(super) fn ended() -> Self {
        Self::Malformed("it ends too early")
    }

    pub(super) fn base(source: io::Error) -> Self {
        Self::Base(ExtractError::Stored { source })
    }

    pub(super) fn unwritten(source: io::Error) -> Self {
        Self::Layer(LayerError::Write { source })
    }
}

impl Failure for DeltaError {}

impl From<DeltaError> for StoreError {
    fn from(error: DeltaError) -> Self {
        RemoteError::new(error).into()
    }
}
