//! What a layer will hold: paths and, for each, a directory, a file or a symbolic link.
//!
//! A [`Tree`] is only made by a [`TreeBuilder`], and holds what this module's rules let through, so that nothing after
//! it has to ask again:
//!
//! 1. Paths are UTF-8, relative, without empty, `.` or `..` components and without NUL; no component starts with `.wh.`,
//!    which a layer reads as "delete this" (image-spec, `layer.md`, "Whiteouts").
//! 2. Entries are sorted by the raw bytes of the path without a trailing slash. A parent therefore stands before its
//!    children, and the order in which entries were added is lost.
//! 3. Every parent directory is there, once. Directories are 0755.
//! 4. A path names one thing. Only a directory may be added again, since all directories are alike.
//! 5. A file's mode is what its owner declared; nothing else is taken from the file system's metadata, except the size,
//!    which is checked again when the file is read.
//! 6. Only files, directories and symbolic links; no socket, FIFO or device.
//! 7. A symbolic link stays in the tree however it is resolved: its target is relative, and neither it nor a link on
//!    its way climbs above the root. It may dangle.
//!
//! Names that differ only in case are legal here, and lost on some file systems: [`Tree::case_collisions`] tells them.

mod content;
mod error;
mod link;
mod name;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use self::content::{Content, Mode};
pub use self::error::TreeError;
pub use self::name::NameRule;

/// Entries in the order of a layer.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// Starts an empty tree.
    pub fn builder() -> TreeBuilder {
        TreeBuilder::default()
    }

    /// Every path, without a trailing slash, and what is there; in the order of the layer.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// What is at a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// How many entries there are, parent directories included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Pairs of paths that are one path where case does not count, in order.
    pub fn case_collisions(&self) -> Vec<CaseCollision> {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        let mut collisions = Vec::new();
        for path in self.entries.keys() {
            if let Some(first) = seen.insert(path.to_lowercase(), path) {
                collisions.push(CaseCollision { first: first.to_owned(), second: path.clone() });
            }
        }
        collisions
    }
}

/// Two paths that differ only in case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseCollision {
    /// The path that sorts first.
    pub first: String,
    /// The other one.
    pub second: String,
}

impl fmt::Display for CaseCollision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` and `{}` differ only in case", self.first, self.second)
    }
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory, 0755.
    Directory,
    /// A regular file.
    File {
        /// Its permission bits.
        mode: Mode,
        /// Its bytes.
        content: Content,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as it will stand in the layer.
        target: String,
    },
}

/// Collects entries and refuses what a [`Tree`] may not hold.
#[derive(Clone, Debug, Default)]
pub struct TreeBuilder {
    entries: BTreeMap<String, Entry>,
}

impl TreeBuilder {
    /// Adds a directory and its parents. A trailing slash and a repetition are fine.
    pub fn directory(&mut self, at: impl AsRef<Path>) -> Result<(), TreeError> {
        let path = name::checked(at.as_ref(), true)?;
        self.insert(path, Entry::Directory)
    }

    /// Adds a file and its parents.
    pub fn file(&mut self, at: impl AsRef<Path>, mode: Mode, content: Content) -> Result<(), TreeError> {
        let path = name::checked(at.as_ref(), false)?;
        self.insert(path, Entry::File { mode, content })
    }

    /// Adds a file made by this program, and its parents.
    pub fn bytes(&mut self, at: impl AsRef<Path>, mode: Mode, bytes: impl Into<Arc<[u8]>>) -> Result<(), TreeError> {
        self.file(at, mode, Content::Memory(bytes.into()))
    }

    /// Adds a symbolic link and its parents. Where it leads is checked by [`TreeBuilder::finish`].
    pub fn symlink(&mut self, at: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<(), TreeError> {
        let path = name::checked(at.as_ref(), false)?;
        let target = name::checked_target(&path, target.as_ref())?;
        self.insert(path, Entry::Symlink { target })
    }

    /// Adds what is at `source` on disk: a file (with `mode`), a symbolic link as itself, or a directory without what
    /// is in it. Anything else is refused.
    pub fn disk(&mut self, at: impl AsRef<Path>, mode: Mode, source: &Path) -> Result<(), TreeError> {
        let inspect = |error| TreeError::Inspect { path: source.to_owned(), source: error };
        let metadata = source.symlink_metadata().map_err(inspect)?;
        let kind = metadata.file_type();
        if kind.is_symlink() {
            return self.symlink(at, source.read_link().map_err(inspect)?);
        }
        if kind.is_dir() {
            return self.directory(at);
        }
        if kind.is_file() {
            return self.file(at, mode, Content::Disk { path: source.to_owned(), size: metadata.len() });
        }
        Err(TreeError::Special { path: source.to_owned() })
    }

    /// Checks what only the whole tree shows: that no link leaves it.
    pub fn finish(self) -> Result<Tree, TreeError> {
        link::check(&self.entries)?;
        Ok(Tree { entries: self.entries })
    }

    fn insert(&mut self, path: String, entry: Entry) -> Result<(), TreeError> {
        for (slash, _) in path.match_indices('/').rev() {
            let parent = &path[..slash];
            match self.entries.get(parent) {
                Some(Entry::Directory) => break, // and so are all above it
                Some(_) => return Err(TreeError::Beneath { path: path.clone(), parent: parent.to_owned() }),
                None => self.entries.insert(parent.to_owned(), Entry::Directory),
            };
        }
        match self.entries.get(&path) {
            None => {
                self.entries.insert(path, entry);
                Ok(())
            }
            Some(Entry::Directory) if entry == Entry::Directory => Ok(()),
            Some(_) => Err(match self.first_below(&path) {
                Some(child) => TreeError::Beneath { path: child.to_owned(), parent: path },
                None => TreeError::Duplicate { path },
            }),
        }
    }

    fn first_below(&self, path: &str) -> Option<&str> {
        let prefix = format!("{path}/");
        let (first, _) = self.entries.range(prefix.clone()..).next()?;
        first.starts_with(&prefix).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn parents_are_added_once_and_paths_sort_by_their_bytes() {
        let mut builder = Tree::builder();
        builder.bytes("b/c/d", Mode::PLAIN, *b"1").unwrap();
        builder.bytes("b/c-d", Mode::PLAIN, *b"2").unwrap();
        builder.directory("b/c/").unwrap();
        builder.symlink("a", "b/c/d").unwrap();
        builder.bytes("Z", Mode::EXECUTABLE, *b"3").unwrap();
        assert_eq!(paths(&builder.finish().unwrap()), ["Z", "a", "b", "b/c", "b/c-d", "b/c/d"]);
    }

    #[test]
    fn one_path_cannot_be_two_things_in_either_order() {
        let mut builder = Tree::builder();
        builder.bytes("a/b", Mode::PLAIN, *b"").unwrap();
        assert!(matches!(builder.bytes("a/b", Mode::PLAIN, *b""), Err(TreeError::Duplicate { path }) if path == "a/b"));
        assert!(matches!(builder.directory("a/b"), Err(TreeError::Duplicate { .. })));
        let below = "`a/b/c` would lie below `a/b`, which is not a directory";
        assert_eq!(builder.directory("a/b/c").unwrap_err().to_string(), below);

        let mut builder = Tree::builder();
        builder.directory("a/b/c").unwrap();
        assert_eq!(builder.bytes("a/b", Mode::PLAIN, *b"").unwrap_err().to_string(), below);
    }

    #[test]
    fn names_that_differ_only_in_case_are_told_not_refused() {
        let mut builder = Tree::builder();
        for path in ["Straße/A", "straße/b", "x", "y", "X"] {
            builder.bytes(path, Mode::PLAIN, *b"").unwrap();
        }
        let told: Vec<String> = builder.finish().unwrap().case_collisions().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["`Straße` and `straße` differ only in case", "`X` and `x` differ only in case"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_neither_file_nor_directory_nor_link_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.path().join("link")).unwrap();
        let mut builder = Tree::builder();
        let refusal = builder.disk("s", Mode::PLAIN, &socket).unwrap_err().to_string();
        assert!(refusal.contains(&*socket.to_string_lossy()), "{refusal}");
        builder.disk("d", Mode::PLAIN, folder.path()).unwrap();
        builder.disk("l", Mode::PLAIN, &folder.path().join("link")).unwrap();
        let tree = builder.finish().unwrap();
        assert_eq!(tree.get("d"), Some(&Entry::Directory));
        assert_eq!(tree.get("l"), Some(&Entry::Symlink { target: "elsewhere".to_owned() }));
    }
}
