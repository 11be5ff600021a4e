//! What git tracks, read off the index: no git is asked, whose configuration may name programs.
//!
//! By gitformat-index(5): versions 2 to 4, with SHA-1 or SHA-256, split in two, and sparse (what a sparse index folds into
//! a directory is not in the working tree). An index that is not as that says tracks nothing.

use std::fs;
use std::path::PathBuf;

use super::Repository;

/// A path in the index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The path from the working tree, its parts parted by `/`.
    pub name: String,
    /// Whether it is another repository: a submodule.
    pub is_module: bool,
    /// Whether git was told not to look whether it changes (`update-index --assume-unchanged`, `--skip-worktree`).
    pub is_overlooked: bool,
}

/// The bits of a mode that tell the kind: a submodule, a folded directory.
const KIND: u32 = 0o170_000;
const MODULE: u32 = 0o160_000;
const FOLDED: u32 = 0o040_000;
/// A bit beside the mode, which has none so high: what git was told not to look at.
const OVERLOOKED: u32 = 1 << 31;

impl Repository {
    /// What git tracks here, sorted by bytes, each once. Names that are no UTF-8 are left out. `None` where there is no index, or
    /// none that can be read.
    pub fn tracked(&self) -> Option<Vec<Entry>> {
        let own = fs::read(self.state.join("index")).ok()?;
        let hash = if self.has_long_hashes() { 32 } else { 20 };
        let mut index = Index::parse(&own, hash)?;
        if let Some((shared, gone)) = index.link.take() {
            let shared = fs::read(self.state.join(format!("sharedindex.{shared}"))).ok()?;
            let shared = Index::parse(&shared, hash)?.entries.into_iter().enumerate();
            // An entry that takes the place of a shared one has no name of its own.
            index.entries.retain(|(name, _)| !name.is_empty());
            index.entries.extend(shared.filter(|(at, _)| !gone.contains(at)).map(|(_, entry)| entry));
        }
        let entries = index.entries.into_iter().filter(|(_, mode)| mode & KIND != FOLDED).filter_map(|(name, mode)| {
            let name = String::from_utf8(name).ok()?;
            let leads_out = name.split('/').any(|part| matches!(part, "" | "." | ".." | ".git"));
            (!leads_out).then_some(Entry { name, is_module: mode & KIND == MODULE, is_overlooked: mode & OVERLOOKED != 0 })
        });
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort();
        // Of a conflict there are several.
        entries.dedup_by(|one, other| one.name == other.name);
        Some(entries)
    }

    fn has_long_hashes(&self) -> bool {
        let config = fs::read_to_string(self.common.join("config")).unwrap_or_default().to_lowercase();
        let mut keys = config.lines().filter_map(|line| line.split_once('='));
        keys.any(|(key, value)| key.trim() == "objectformat" && value.trim() == "sha256")
    }

    /// Whether the index names a file of the working tree.
    pub fn tracks(&self, file: &std::path::Path) -> bool {
        let tree = self.dot_git.parent().and_then(|tree| tree.canonicalize().ok());
        let name: Option<PathBuf> = tree.and_then(|tree| file.strip_prefix(tree).ok().map(std::path::Path::to_owned));
        let name =
            name.map(|name| name.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/"));
        let (Some(name), Some(entries)) = (name, self.tracked()) else { return false };
        entries.binary_search_by(|entry| entry.name.cmp(&name)).is_ok()
    }
}

/// One file of an index.
struct Index {
    /// Names and modes.
    entries: Vec<(Vec<u8>, u32)>,
    /// The shared index that this one adds to, by its hash, and the positions of what is gone from it.
    link: Option<(String, Vec<usize>)>,
}

impl Index {
    fn parse(bytes: &[u8], hash: usize) -> Option<Self> {
        let mut rest = Reader(bytes.get(..bytes.len().checked_sub(hash)?)?);
        if rest.take(4)? != b"DIRC" {
            return None;
        }
        let version = rest.number()?;
        let count = rest.number()?;
        if !(2..=4).contains(&version) {
            return None;
        }
        let mut entries: Vec<(Vec<u8>, u32)> = Vec::new();
        for _ in 0..count {
            let start = rest.0.len();
            rest.take(24)?;
            let mode = rest.number()?;
            rest.take(12 + hash)?;
            let flags = rest.take(2)?;
            let is_extended = version >= 3 && flags[0] & 0x40 != 0;
            let skips = is_extended && rest.take(2)?[0] & 0x40 != 0;
            let overlooked = if flags[0] & 0x80 != 0 || skips { OVERLOOKED } else { 0 };
            let mut name = Vec::new();
            if version == 4 {
                let before = entries.last().map(|(name, _)| name.as_slice()).unwrap_or_default();
                let kept = before.len().checked_sub(rest.varint()?)?;
                name.extend(&before[..kept]);
            }
            let length = memchr::memchr(0, rest.0)?;
            name.extend(rest.take(length)?);
            let read = start - rest.0.len();
            // One to eight NULs, up to a multiple of eight.
            rest.take(if version == 4 { 1 } else { 8 - read % 8 })?;
            entries.push((name, mode | overlooked));
        }
        let mut link = None;
        while !rest.0.is_empty() {
            let name = rest.take(4)?;
            let length = rest.number()? as usize;
            let mut body = Reader(rest.take(length)?);
            if name == b"link" {
                let shared = body.take(hash)?.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
                link = Some((shared, if body.0.is_empty() { Vec::new() } else { body.bitmap()? }));
            }
        }
        Some(Self { entries, link })
    }
}

/// Reads numbers of the network's byte order off a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn word(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// The offset encoding of pack files: each further byte adds one before it shifts.
    fn varint(&mut self) -> Option<usize> {
        let mut byte = self.take(1)?[0];
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.take(1)?[0];
            value = value.checked_add(1)?.checked_mul(128)? | usize::from(byte & 0x7f);
        }
        Some(value)
    }

    /// The positions that an EWAH bitmap sets (gitformat-bitmap(5), appendix A): words of a run's bit, its length (32 bits) and
    /// the count of plain words after it (31 bits).
    fn bitmap(&mut self) -> Option<Vec<usize>> {
        let bits = self.number()? as usize;
        let mut words = self.number()?;
        let mut set = Vec::new();
        let mut at = 0_usize;
        while words > 0 {
            let run = self.word()?;
            let length = usize::try_from(run >> 1 & 0xffff_ffff).ok()?.checked_mul(64)?;
            if run & 1 == 1 {
                set.extend(at..at.checked_add(length)?.min(bits));
            }
            at = at.checked_add(length)?;
            let plain = u32::try_from(run >> 33).ok()?;
            for _ in 0..plain {
                let word = self.word()?;
                set.extend((0..64).filter(|bit| word >> bit & 1 == 1).map(|bit| at + bit));
                at = at.checked_add(64)?;
            }
            words = words.checked_sub(plain.checked_add(1)?)?;
        }
        self.number()?;
        Some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_cut_anywhere_tracks_nothing_and_ends() {
        let mut bytes = b"DIRC\0\0\0\x02\0\0\0\x01".to_vec();
        bytes.extend([0; 24]);
        bytes.extend([0, 0, 0o201, 0o244]);
        bytes.extend([0; 32]);
        bytes.extend([0, 3]);
        bytes.extend(b"a/b\0\0\0\0\0\0\0");
        bytes.truncate(12 + 72);
        bytes.extend([0; 20]);
        let whole = Index::parse(&bytes, 20).unwrap();
        assert_eq!(whole.entries, [(b"a/b".to_vec(), 0o100_644)]);
        for length in 0..bytes.len() {
            assert!(Index::parse(&bytes[..length], 20).is_none(), "{length}");
        }
    }
}
