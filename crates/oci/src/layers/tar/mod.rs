//! Reading tar archives, entry by entry, from bytes that are hostile: layers, and archives of whole layouts.
//!
//! Nothing is extracted here. [`Walker`] tells names, kinds and sizes as the archive states them, with one reading of each
//! number; whoever uses them checks what they mean. Memory is bounded: extension headers are capped, content is lent.

mod header;
mod pax;
mod walker;

pub use header::Flag;
pub use walker::{RawEntry, Stream, Walker};

/// The largest extension header (PAX, GNU long name) that is read.
pub const EXTENSION_LIMIT: u64 = 1 << 20;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It breaks the tar format, or uses a part of it that readers disagree about.
    #[error("bad tar entry at byte {offset}: {what}")]
    Malformed {
        /// Offset of the header in the tar.
        offset: u64,
        /// The broken rule.
        what: &'static str,
    },
    /// It ends in the middle of an entry or without its end marker.
    #[error("the archive is cut short after byte {offset}")]
    Truncated {
        /// Number of bytes read.
        offset: u64,
    },
    /// An entry that is none of: file, directory, symbolic link, hard link.
    #[error("`{path}` is {kind}: that is never made")]
    Kind {
        /// The path, escaped.
        path: String,
        /// What it is, in words.
        kind: &'static str,
    },
    /// A limit was reached.
    #[error("more than {allowed} {what}")]
    Limit {
        /// What is limited, with its unit.
        what: &'static str,
        /// The limit.
        allowed: u64,
    },
}

/// Bytes of an archive as text for a person: control characters escaped, at most 200 characters.
pub fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(800)];
    let mut text: String = String::from_utf8_lossy(cut).escape_debug().take(200).collect();
    if bytes.len() > cut.len() || text.chars().count() == 200 {
        text.push_str("...");
    }
    text
}
