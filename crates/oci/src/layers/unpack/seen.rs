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
