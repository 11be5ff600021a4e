//! Why something cannot be part of a layer.

use std::io;
use std::path::PathBuf;

use super::NameRule;
use crate::failure::{Class, Failure};

/// Why something cannot be part of a layer.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A path that breaks a rule by itself.
    #[error("`{path}` cannot be in an image: {rule}")]
    Name {
        /// The path, shown lossily when it is not UTF-8.
        path: String,
        /// The broken rule.
        rule: NameRule,
    },
    /// Two entries with one path.
    #[error("`{path}` would be in the image twice")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// A path below something that is not a directory.
    #[error("`{path}` would lie below `{parent}`, which is not a directory")]
    Beneath {
        /// The path.
        path: String,
        /// The file or link above it.
        parent: String,
    },
    /// A symbolic link that climbs above the root, or is absolute.
    #[error("the symbolic link `{path}` to `{target}` leaves the image")]
    LinkLeaves {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A symbolic link that goes up after a name, which may be another link.
    #[error("the symbolic link `{path}` to `{target}` has `..` after a name")]
    LinkTurns {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A symbolic link that never ends.
    #[error("the symbolic link `{path}` to `{target}` leads in a circle")]
    LinkLoops {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A socket, a FIFO, a device, or a directory where a file is wanted.
    #[error("`{}` is no regular file", path.display())]
    Special {
        /// Where it is on disk.
        path: PathBuf,
    },
    /// The file system does not say what is there.
    #[error("cannot look at `{}`", path.display())]
    Inspect {
        /// Where it is on disk.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Failure for TreeError {
    fn class(&self) -> Class {
        match self {
            Self::Name { .. } | Self::Duplicate { .. } | Self::Beneath { .. } => Class::Usage,
            Self::LinkLeaves { .. }
            | Self::LinkTurns { .. }
            | Self::LinkLoops { .. }
            | Self::Special { .. }
            | Self::Inspect { .. } => Class::Failed,
        }
    }
}
