//! What one layer has named so far, in bounded memory: sixteen bytes per path whatever its length.
//!
//! Paths are remembered as 128-bit `SipHash` values under keys drawn for this run, so that no archive can be made to
//! collide with itself on purpose.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::error::{ExtractError, shown};
use super::limits::Rules;

/// How a layer named a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    /// Only as the parent of something.
    Parent,
    /// As a directory.
    Directory,
    /// As anything else, a whiteout included.
    Other,
}

/// The paths of one layer.
pub(super) struct Seen {
    keys: (u64, u64),
    paths: BTreeMap<u128, As>,
    /// Directories from which the layer has removed what it does not name.
    swept: BTreeSet<u128>,
}

impl Seen {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self { keys: (random.hash_one(1), random.hash_one(2)), paths: BTreeMap::new(), swept: BTreeSet::new() }
    }

    /// Forgets everything: the next layer starts.
    pub(super) fn clear(&mut self) {
        self.paths.clear();
        self.swept.clear();
    }

    pub(super) fn get(&self, path: &str) -> Option<As> {
        self.paths.get(&self.key(path)).copied()
    }

    /// Takes a path for an entry. Nothing may be named twice, except that a parent may get its own entry, and that
    /// other tools repeat directories.
    pub(super) fn claim(&mut self, path: &str, named: As, rules: Rules) -> Result<(), ExtractError> {
        let before = self.paths.insert(self.key(path), named);
        match (before, named) {
            (None, _) | (Some(As::Parent), As::Directory) => Ok(()),
            (Some(As::Directory), As::Directory) if rules == Rules::Foreign => Ok(()),
            _ => Err(ExtractError::Duplicate { path: shown(path.as_bytes()) }),
        }
    }

    /// Remembers the parent of something, unless more is known of it.
    pub(super) fn insert_parent(&mut self, path: &str) {
        self.paths.entry(self.key(path)).or_insert(As::Parent);
    }

    /// Whether a directory has not been swept by this layer, which it is now.
    pub(super) fn sweep(&mut self, path: &str) -> bool {
        let key = self.key(path);
        self.swept.insert(key)
    }

    fn key(&self, path: &str) -> u128 {
        use std::hash::Hasher as _;
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(path.as_bytes());
        hasher.finish128().as_u128()
    }
}
/// Names of one file at most: ext4 makes no more (`EXT4_LINK_MAX`), and an image means the same on every disk.
const NAMES: u32 = 65_000;

/// How many names the files have that hard links name, by hashes of paths. A path that was replaced is still counted with the
/// file that it was a name of: never too few, and the same on the disk and in a rehearsal.
pub(super) struct Linked {
    keys: RandomState,
    files: BTreeMap<u64, u64>,
    names: BTreeMap<u64, u32>,
}

impl Linked {
    /// Knows of no link.
    pub(super) fn new() -> Self {
        Self { keys: RandomState::new(), files: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// Notes one more name of the file at `target`; false where it has too many.
    pub(super) fn add(&mut self, path: &str, target: &str) -> bool {
        let (path, target) = (self.keys.hash_one(path), self.keys.hash_one(target));
        let file = self.files.get(&target).copied().unwrap_or(target);
        self.files.insert(path, file);
        let names = self.names.entry(file).or_insert(1);
        *names += 1;
        *names <= NAMES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_file_is_counted_whichever_it_was_linked_by() {
        let mut linked = Linked::new();
        assert!((1..NAMES).all(|number| linked.add(&number.to_string(), &(number / 2).to_string())));
        assert!(linked.add("other", "file"));
        for target in ["0", "1", "64999"] {
            assert!(!linked.add("one more", target), "{target}");
        }
    }
}
