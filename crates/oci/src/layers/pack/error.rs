//! Why a layer could not be made.

use std::io;
use std::path::PathBuf;

use crate::failure::Failure;

/// Why a layer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Where it is on disk.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is no longer what it was when the tree was made, or changed while it was read.
    #[error("changed while packing: {}", path.display())]
    Changed {
        /// Where it is on disk.
        path: PathBuf,
    },
    /// The layer cannot be written.
    #[error("cannot write the layer")]
    Write {
        /// What the system said.
        source: io::Error,
    },
    /// The compression library gave up.
    #[error("cannot compress the layer")]
    Compress {
        /// What it said.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start a thread")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// Another thread of the same layer failed first, and its error is the one to report.
    #[error("stopped, since another thread failed")]
    Stopped,
}

impl Failure for LayerError {}
