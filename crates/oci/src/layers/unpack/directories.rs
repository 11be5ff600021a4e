//! Modes and times of directories, which can only be set when nothing more is written into them: a mode of 0555 would
//! stop a user who is not root, and every new file changes the time.
//!
//! Threat: *memory*; the paths are kept whole, so their bytes are counted and limited.

use std::collections::BTreeMap;

use super::error::ExtractError;
use super::limits::{Bound, Exceeded, Limits};
use super::root::{Directory, Metadata, Obstacle, Steps, Walk};

/// What [`Directories::set`] still has to do.
pub(super) struct Directories {
    metadata: BTreeMap<Box<str>, Metadata>,
    bytes: usize,
}

/// What a directory gets that no entry describes.
const UNSTATED: Metadata = Metadata { mode: 0o755, seconds: 0, nanos: 0 };

/// Bytes of memory for a directory beside its path: map entry, allocation.
const OVERHEAD: usize = 80;

impl Directories {
    /// Knows the root only.
    pub(super) fn new() -> Self {
        Self { metadata: BTreeMap::from([(Box::from(""), UNSTATED)]), bytes: OVERHEAD }
    }

    /// Remembers what a directory is to get in the end; without metadata, what one gets that no entry describes.
    pub(super) fn insert(&mut self, path: &str, metadata: Option<Metadata>, limits: &Limits) -> Result<(), ExtractError> {
        if self.metadata.insert(Box::from(path), metadata.unwrap_or(UNSTATED)).is_none() {
            self.bytes += path.len() + OVERHEAD;
        }
        if self.bytes > limits.directory_bytes {
            return Err(ExtractError::Limit(Exceeded { what: Bound::DirectoryBytes, allowed: limits.directory_bytes as u64 }));
        }
        Ok(())
    }

    /// Forgets a directory that goes, and all below it.
    pub(super) fn forget(&mut self, path: &str) {
        // `0` is the character after `/`.
        let below: Vec<_> = self.metadata.range(Box::from(format!("{path}/"))..Box::from(format!("{path}0"))).collect();
        let paths: Vec<Box<str>> = below.into_iter().map(|(path, _)| path.clone()).collect();
        for path in paths.iter().map(AsRef::as_ref).chain([path]) {
            if self.metadata.remove(path).is_some() {
                self.bytes -= path.len() + OVERHEAD;
            }
        }
    }

    /// Sets everything, children before their parents.
    pub(super) fn set<D: Directory>(self, root: &D) -> Result<(), ExtractError> {
        let disk = |path: &str, source| ExtractError::disk("finish", path, source);
        let mut walk = Walk::new(root, false).map_err(|source| disk("", source))?;
        for (path, metadata) in self.metadata.into_iter().rev() {
            match walk.enter(&path, &mut Steps::unlimited()) {
                // A later layer put something else there.
                Err(Obstacle::NotDirectory | Obstacle::Symlink | Obstacle::Missing) => continue,
                other => other.map_err(|obstacle| obstacle.explain(&path))?,
            };
            walk.current().finish(metadata).map_err(|source| disk(&path, source))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgetting_takes_what_is_below_and_nothing_beside() {
        let mut directories = Directories::new();
        for path in ["a", "a-b", "a/b", "a/b/c", "a0", "b"] {
            directories.insert(path, None, &Limits::default()).unwrap();
        }
        directories.forget("a");
        let left: Vec<&str> = directories.metadata.keys().map(AsRef::as_ref).collect();
        assert_eq!(left, ["", "a-b", "a0", "b"]);
        assert_eq!(directories.bytes, 4 * OVERHEAD + "a-ba0b".len());
    }

    #[test]
    fn too_many_directories_are_refused() {
        let limits = Limits { directory_bytes: 1000, ..Limits::default() };
        let mut directories = Directories::new();
        let refused = (0..20).find(|number| directories.insert(&format!("{number}"), None, &limits).is_err());
        assert_eq!(refused, Some(11));
    }
}
