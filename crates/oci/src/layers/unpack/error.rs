//! Why a layer is not read, or not applied.

use std::io;
use std::path::PathBuf;

use super::limits::{Bound, Exceeded};
use crate::failure::{Class, Failure};
use crate::layers::tar::TarError;
pub(super) use crate::layers::tar::shown;
use crate::values::compression::Compression;
use crate::values::digest::Digest;

/// Everything that can go wrong between a compressed layer and a directory.
///
/// Names and targets come from the archive: they are stored as [`shown`] text, escaped and cut, so that printing an
/// error never lets an archive write to a terminal.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The cause, with the layer it arose in.
    #[error("cannot read layer {layer}")]
    Layer {
        /// The layer's diff id, or its number where none was stated.
        layer: String,
        /// What is wrong with it.
        source: Box<ExtractError>,
    },
    /// The compressed stream is broken, cut short, or followed by something else.
    #[error("cannot decompress it as {compression}")]
    Decompress {
        /// What the media type states.
        compression: Compression,
        /// What the decoder says.
        source: io::Error,
    },
    /// The reader of stored bytes failed.
    #[error("cannot read its stored bytes")]
    Stored {
        /// What the reader says.
        source: io::Error,
    },
    /// The archive breaks the tar format, or uses a part of it that readers disagree about.
    #[error("bad tar entry at byte {offset}: {what}")]
    Malformed {
        /// Offset of the header in the uncompressed tar.
        offset: u64,
        /// The broken rule.
        what: &'static str,
    },
    /// The archive ends in the middle of an entry or without its end marker.
    #[error("the archive is cut short after byte {offset}")]
    Truncated {
        /// Number of bytes read.
        offset: u64,
    },
    /// A name that may not occur.
    #[error("bad entry name `{name}`: {why}")]
    Name {
        /// The name, escaped.
        name: String,
        /// The broken rule.
        why: &'static str,
    },
    /// Two entries of one layer claim the same path.
    #[error("`{path}` occurs twice in the layer")]
    Duplicate {
        /// The path, escaped.
        path: String,
    },
    /// An entry that is none of: file, directory, symbolic link, hard link, whiteout.
    #[error("`{path}` is {kind}: that is never made")]
    Kind {
        /// The path, escaped.
        path: String,
        /// What it is, in words.
        kind: &'static str,
    },
    /// A link that cannot be made, or may not.
    #[error("bad link `{path}` to `{target}`: {why}")]
    Link {
        /// The link's path, escaped.
        path: String,
        /// Its target, escaped.
        target: String,
        /// The broken rule.
        why: &'static str,
    },
    /// An entry's parent is something other than a directory.
    #[error("cannot place `{path}`: {why}")]
    Parent {
        /// The entry's path, escaped.
        path: String,
        /// What stands in the way.
        why: &'static str,
    },
    /// A limit was reached.
    #[error("{0}")]
    Limit(#[from] Exceeded),
    /// The uncompressed tar is not the one that the image configuration names.
    #[error("its diff id is {actual}, but the configuration says {stated}")]
    DiffId {
        /// What `rootfs.diff_ids` says.
        stated: Digest,
        /// What the bytes are.
        actual: Digest,
    },
    /// The directory to make is there already, or cannot be named.
    #[error("cannot make `{}`: {why}", path.display())]
    Destination {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file system refuses.
    #[error("cannot {action} `{path}`")]
    Disk {
        /// A verb: `create`, `rename`.
        action: &'static str,
        /// The path, escaped; relative ones are inside the new directory.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The place for the new directory cannot be prepared.
    #[error("{0}")]
    Place(#[from] crate::fs::FileError),
    /// The receiver of entries could not take one.
    #[error("cannot take `{path}`")]
    Visit {
        /// The entry's path, escaped.
        path: String,
        /// What the receiver says.
        source: io::Error,
    },
}

impl ExtractError {
    /// The broken rule as a short stable word, for findings; `None` where nothing is wrong with the bytes.
    pub fn rule(&self) -> Option<&'static str> {
        match self {
            Self::Layer { source, .. } => source.rule(),
            Self::Decompress { .. } => Some("compression"),
            Self::Malformed { .. } => Some("tar-format"),
            Self::Truncated { .. } => Some("tar-truncated"),
            Self::Name { .. } => Some("entry-name"),
            Self::Duplicate { .. } => Some("duplicate-entry"),
            Self::Kind { .. } => Some("entry-kind"),
            Self::Link { .. } => Some("entry-link"),
            Self::Parent { .. } => Some("entry-parent"),
            Self::Limit(_) => Some("limit"),
            Self::DiffId { .. } => Some("diff-id-mismatch"),
            Self::Destination { .. } | Self::Disk { .. } | Self::Place(_) | Self::Stored { .. } | Self::Visit { .. } => None,
        }
    }

    /// The error of the reader that the layer came from, if that is what failed.
    pub fn stored_bytes(self) -> Result<io::Error, Self> {
        match self {
            Self::Stored { source } => Ok(source),
            Self::Layer { layer, source } => {
                source.stored_bytes().map_err(|source| Self::Layer { layer, source: Box::new(source) })
            }
            other => Err(other),
        }
    }

    pub(super) fn disk(action: &'static str, path: &str, source: io::Error) -> Self {
        Self::Disk { action, path: shown(path.as_bytes()), source }
    }

    pub(super) fn name(name: &[u8], why: &'static str) -> Self {
        Self::Name { name: shown(name), why }
    }

    pub(super) fn link(path: &str, target: &[u8], why: &'static str) -> Self {
        Self::Link { path: shown(path.as_bytes()), target: shown(target), why }
    }

    /// Finds the error that travelled through an [`io::Error`] of an entry's content.
    pub fn from_visit(path: &str, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(inner) => inner,
            Err(source) => Self::Visit { path: shown(path.as_bytes()), source },
        }
    }
}

impl Failure for ExtractError {
    fn class(&self) -> Class {
        match self {
            Self::Destination { .. } => Class::Usage,
            Self::Layer { source, .. } => source.class(),
            _ => Class::Failed,
        }
    }
}

impl From<TarError> for ExtractError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Malformed { offset, what } => Self::Malformed { offset, what },
            TarError::Truncated { offset } => Self::Truncated { offset },
            TarError::Kind { path, kind } => Self::Kind { path, kind },
            TarError::Limit { what, allowed } => Self::Limit(Exceeded { what: Bound::Header(what), allowed }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_reach_a_terminal() {
        assert_eq!(shown(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown(&[0xff, b'x']), "\u{fffd}x");
        assert!(shown(&[b'a'; 10_000]).len() < 300);
    }
}
