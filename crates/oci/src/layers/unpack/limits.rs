//! How much a layer may cost, and which names it may use.

use std::fmt;

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// [`Limits::unpacked_bytes`].
    UnpackedBytes,
    /// [`Limits::ratio`].
    Ratio,
    /// [`Limits::entries`].
    Entries,
    /// [`Limits::path_bytes`].
    PathBytes,
    /// [`Limits::depth`].
    Depth,
    /// [`Limits::steps`].
    Steps,
    /// [`Limits::directory_bytes`].
    DirectoryBytes,
    /// [`Limits::link_bytes`].
    LinkBytes,
    /// [`READ_TOGETHER`], which nobody can raise.
    ReadTogether,
    /// Something of a header of an archive, which nobody can raise.
    Header(&'static str),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnpackedBytes => "bytes unpacked",
            Self::Ratio => "bytes unpacked per compressed byte",
            Self::Entries => "entries",
            Self::PathBytes => "bytes of path",
            Self::Depth => "directories above one another",
            Self::LinkBytes => "bytes of link targets",
            Self::Steps => "steps from directory to directory",
            Self::DirectoryBytes => "bytes of directory paths",
            Self::Header(what) => what,
            Self::ReadTogether => "bytes of shared layers, read again for each image",
        })
    }
}

/// More than a bound allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {allowed} {what}")]
pub struct Exceeded {
    /// What is bounded.
    pub what: Bound,
    /// By how much.
    pub allowed: u64,
}

/// Upper bounds of one extraction or one reading, each overridable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of uncompressed tar, all layers together.
    pub unpacked_bytes: u64,
    /// Uncompressed bytes per compressed byte of a layer, once [`Limits::ratio_from`] bytes came out of it.
    pub ratio: u64,
    /// Uncompressed bytes of a layer below which the ratio is not looked at.
    pub ratio_from: u64,
    /// Entries of all layers together, with the parent directories that no entry names.
    pub entries: u64,
    /// Bytes of one path, or of one link target.
    pub path_bytes: usize,
    /// Directories above one another.
    pub depth: usize,
    /// Directories stepped into on the way to the entries of all layers together: neighbours share them.
    pub steps: u64,
    /// Bytes of memory for the paths of all directories: they are kept until the end, for their modes and times.
    pub directory_bytes: usize,
    /// Bytes of the targets of all symbolic links: who only rehearses keeps them, to follow them.
    pub link_bytes: u64,
    /// Base two logarithm of the largest zstd window.
    pub zstd_window_log: u32,
}

/// Bytes of tar that one command reads at most to look at images, all of them together: a manifest can name one large layer
/// twenty thousand times. Each image can still be looked at by itself.
pub const READ_TOGETHER: u64 = 64 << 30;

/// What the layers of one image have cost so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Bytes of uncompressed tar.
    pub unpacked: u64,
    /// Entries.
    pub entries: u64,
}

impl Limits {
    /// Counts one more symbolic link.
    pub(super) const fn count_link(&self, bytes: &mut u64, target: &str) -> Result<(), Exceeded> {
        *bytes += target.len() as u64 + 32;
        if *bytes > self.link_bytes {
            return Err(Exceeded { what: Bound::LinkBytes, allowed: self.link_bytes });
        }
        Ok(())
    }

    /// Counts one more entry.
    pub(super) const fn count_entry(&self, entries: &mut u64) -> Result<(), Exceeded> {
        *entries += 1;
        if *entries > self.entries {
            return Err(Exceeded { what: Bound::Entries, allowed: self.entries });
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unpacked_bytes: 4 << 30,
            ratio: 200,
            ratio_from: 64 << 20,
            entries: 1_000_000,
            path_bytes: 4096,
            depth: 256,
            steps: 1_000_000,
            directory_bytes: 16 << 20,
            link_bytes: 16 << 20,
            zstd_window_log: 23,
        }
    }
}

/// Which archives are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// What other tools write into images: names may start with `/` or `./`, a repeated directory merges, a parent may
    /// be a symbolic link (resolved with the new directory as its root), link targets are free.
    #[default]
    Foreign,
    /// What this tool writes, and what `install` takes: none of the above, and a symbolic link has one name, and a target
    /// that leads up first and then down, and stays inside: an installed plugin runs in the host's own file system, not in
    /// a container.
    Strict,
}

/// Limits and rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtractOptions {
    /// Upper bounds.
    pub limits: Limits,
    /// What is accepted.
    pub rules: Rules,
}
