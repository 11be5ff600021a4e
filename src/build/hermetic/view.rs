//! The file system that the build sees: an empty one, in which these places are put.
//!
//! Every place has the path it has outside, so that cargo's arguments, the remaps and cargo's messages mean the same on
//! both sides and the bytes are those of a plain build. Places are put up in the order of their depth: what lies deeper
//! covers what lies above, a writable directory in read-only sources as well as an empty one over a home in them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why a place is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The operating system's programs and libraries, the linker among them.
    System,
    /// rustc, cargo and their libraries.
    Toolchain,
    /// A linker or C compiler outside the system's directories.
    Linker,
    Workspace,
    /// A path dependency outside the workspace.
    PathDependency,
    /// What git tracks beside the workspace, in the same repository.
    Repository,
    /// Vendored sources.
    Vendor,
    /// What `cargo fetch` writes, below `CARGO_HOME`.
    Cache,
    /// What `cargo fetch` fetched.
    Fetched,
    /// Cargo's configuration, without secrets.
    Configuration,
    /// What hides something: an empty directory, a file without its secrets.
    Cover,
    /// Where cargo writes.
    Target,
    /// Temporary files, gone with the build.
    Temporary,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// The file or directory that is there outside, read-only, or nothing where nothing is.
    ReadOnly,
    /// The directory that is there outside, writable.
    Writable,
    /// The file that is there outside, writable.
    WritableFile,
    /// A directory that holds nothing but deeper places.
    Empty,
    /// A directory that holds these and deeper places, on the disk of the view's [`stand`](View::stand) where there is one:
    /// whoever looks for a repository stops where another file system begins.
    Stand(Vec<Item>),
    /// An empty directory in memory, writable.
    Scratch,
    /// A file of this text.
    Text(String),
    /// A symlink to this.
    Link(PathBuf),
}

/// Something in a [`Content::Stand`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The path from there.
    pub name: PathBuf,
    /// What it is.
    pub kind: ItemKind,
}

/// What is in a [`Content::Stand`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// The file or directory that is there outside, read-only.
    Real,
    /// A copy of the file that is there outside: mounts are few.
    Copy,
    /// A symlink to this.
    Link(PathBuf),
    /// An empty directory.
    Empty,
}

/// Something that the build can see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewEntry {
    /// The absolute path, inside as outside.
    pub path: PathBuf,
    /// Why it is there.
    pub role: Role,
    /// What is there.
    pub content: Content,
}

/// All that the build can see, beside `/proc` and a few devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    places: Vec<ViewEntry>,
    /// A directory outside, on the file system of the workspace, in which stands are made; they are in memory where there
    /// is none.
    #[serde(default)]
    pub stand: Option<PathBuf>,
}

impl View {
    /// Adds a place, and the symlinks on the way to it. Where the path is taken, the first stays.
    pub fn add(&mut self, path: &Path, role: Role, content: Content) {
        let traced = trace(path);
        for (path, target) in traced.links {
            self.put(ViewEntry { path, role, content: Content::Link(target) });
        }
        self.put(ViewEntry { path: traced.real, role, content });
    }

    fn put(&mut self, place: ViewEntry) {
        if !self.places.iter().any(|other| other.path == place.path) {
            self.places.push(place);
        }
    }

    /// Takes links out of stands where a place of its own comes.
    pub fn settle(&mut self) {
        let paths: Vec<PathBuf> = self.places.iter().map(|place| place.path.clone()).collect();
        for place in &mut self.places {
            if let Content::Stand(items) = &mut place.content {
                let is_taken = |item: &Item| paths.iter().any(|path| path.starts_with(place.path.join(&item.name)));
                items.retain(|item| !matches!(item.kind, ItemKind::Link(_)) || !is_taken(item));
            }
        }
    }

    /// The places, each after those that it lies in.
    pub fn places(&self) -> Vec<&ViewEntry> {
        let mut places: Vec<&ViewEntry> = self.places.iter().collect();
        places.sort_by_key(|place| (place.path.components().count(), &place.path));
        places
    }

    /// The directories that show nothing of what is there outside, but for deeper places and what is named.
    pub fn covers(&self) -> impl Iterator<Item = &Path> {
        let covers = self.places.iter().filter(|place| matches!(place.content, Content::Empty | Content::Stand(_)));
        covers.map(|place| place.path.as_path())
    }

    pub fn paths<'a>(&'a self, content: &'a Content) -> impl Iterator<Item = &'a Path> {
        self.places.iter().filter(move |place| place.content == *content).map(|place| place.path.as_path())
    }

    /// Whether a path can be seen as it is outside: the deepest place above it is a real one.
    pub fn shows(&self, path: &Path) -> bool {
        let above =
            self.places.iter().filter(|place| path.starts_with(&place.path) && !matches!(place.content, Content::Link(_)));
        let deepest = above.max_by_key(|place| place.path.components().count());
        deepest.is_some_and(|place| match &place.content {
            Content::ReadOnly | Content::Writable => true,
            Content::Stand(items) => {
                let is_real = |item: &&Item| matches!(item.kind, ItemKind::Real | ItemKind::Copy);
                items.iter().filter(is_real).any(|item| path.starts_with(place.path.join(&item.name)))
            }
            _ => false,
        })
    }
}

/// A path followed through symlinks.
pub struct Traced {
    /// The symlinks met, with what they say.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Where it ends.
    pub real: PathBuf,
}

/// Follows an absolute path. What does not exist is taken to be no symlink.
pub fn trace(path: &Path) -> Traced {
    const MOST_LINKS: usize = 40;
    let words =
        |path: &Path| -> VecDeque<OsString> { path.components().map(|component| component.as_os_str().to_owned()).collect() };
    let mut rest = words(path);
    let mut traced = Traced { links: Vec::new(), real: PathBuf::from("/") };
    while let Some(word) = rest.pop_front() {
        match Path::new(&word).components().next() {
            Some(Component::ParentDir) => {
                traced.real.pop();
            }
            Some(Component::RootDir) => traced.real = PathBuf::from("/"),
            Some(Component::Normal(name)) => {
                let next = traced.real.join(name);
                match fs::read_link(&next) {
                    Ok(target) if traced.links.len() < MOST_LINKS => {
                        let mut words = words(&target);
                        words.append(&mut rest);
                        rest = words;
                        traced.links.push((next, target));
                    }
                    _ => traced.real = next,
                }
            }
            _ => {}
        }
    }
    traced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_path_through_symlinks_brings_the_symlinks() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("disk/ws")).unwrap();
        std::os::unix::fs::symlink("disk", root.join("near")).unwrap();
        std::os::unix::fs::symlink(root.join("near/ws"), root.join("ws")).unwrap();
        let traced = trace(&root.join("ws/src"));
        assert_eq!(traced.real, root.join("disk/ws/src"));
        assert_eq!(traced.links, [(root.join("ws"), root.join("near/ws")), (root.join("near"), "disk".into())]);
    }

    #[test]
    fn deeper_places_cover_those_above() {
        let mut view = View::default();
        view.add(Path::new("/x/ws/.home"), Role::Cover, Content::Empty);
        view.add(Path::new("/x/ws"), Role::Workspace, Content::ReadOnly);
        let paths: Vec<_> = view.places().iter().map(|place| place.path.clone()).collect();
        assert_eq!(paths, [Path::new("/x/ws"), Path::new("/x/ws/.home")]);
        assert!(view.shows(Path::new("/x/ws/src")));
        assert!(!view.shows(Path::new("/x/ws/.home/.netrc")));
        assert!(!view.shows(Path::new("/x")));
    }
}
