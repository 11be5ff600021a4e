//! Why a policy cannot be judged by.

use std::path::PathBuf;

use plugin_oci::failure::{Class, Failure};
use plugin_oci::fs::FileError;
use plugin_oci::signatures::keys::KeyFileError;

/// Why a policy cannot be judged by.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
    /// A key of it cannot be used.
    #[error("{0}")]
    Key(#[from] KeyFileError),
    /// It is no policy.
    #[error("it is no policy: {0}")]
    Shape(String),
    /// It asks for what is not judged here.
    #[error("it asks for `{0}`, which is not judged here")]
    NotJudged(String),
    /// Which file that is.
    #[error("cannot judge by the policy `{}`", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
}

impl Failure for PolicyError {
    fn class(&self) -> Class {
        match self {
            Self::File(_) => Class::Failed,
            Self::In { source, .. } => source.class(),
            _ => Class::Usage,
        }
    }
}
