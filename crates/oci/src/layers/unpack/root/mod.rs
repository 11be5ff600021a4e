//! The directory that is being filled, and the only calls that touch it.
//!
//! Threats: *links that lead out* (CVE-2018-20990, CVE-2021-38511, CVE-2021-21272, containerd's breakouts): an entry is
//! placed by an open handle of its parent and one name, never by a path; the handle was reached by steps that follow no
//! link. Where a link stands among the parents, its target is walked by the same steps, from the handles that are open:
//! `..` is the handle before, and nothing is above the root. *Existing things changed through a link* (CVE-2021-32760,
//! CVE-2026-33056): modes and times are set on handles of what was just made. *A hard link to a file of the host*
//! (CVE-2026-50163): its target is opened the same way, and never followed. *Entries that lie far from one another*: every
//! step is counted ([`Steps`]).
//!
//! There are two grounds: the disk, and a rehearsal that remembers what would be there ([`shadow`]). Whatever decides
//! whether an archive is accepted is written once, above both.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;
pub(super) mod shadow;

#[cfg(target_os = "linux")]
pub(super) use linux::Handle;
#[cfg(target_os = "linux")]
pub use linux::remove_tree;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::Handle;
#[cfg(not(target_os = "linux"))]
pub use portable::remove_tree;

use std::fs::File;
use std::io;

use super::error::{ExtractError, shown};
use super::limits::{Bound, Exceeded, Limits};

/// What a name in a directory is.
pub(super) enum Found<T> {
    /// A directory, now open.
    Directory(T),
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Other,
    /// Nothing.
    Nothing,
}

/// What is set on a thing once it is whole: permission bits (never setuid or setgid) and the time of modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Permission bits.
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) seconds: i64,
    /// And nanoseconds.
    pub(super) nanos: u32,
}

/// Writes to the disk what was written so far, on a thread of its own.
pub(super) type Sync = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Says of each name in a directory, and whether it is one itself, whether it stays.
pub(super) type Keep<'a> = dyn FnMut(&str, bool) -> io::Result<bool> + 'a;

/// An open directory.
pub(super) trait Directory: Sized {
    /// Another handle of the same.
    fn again(&self) -> io::Result<Self>;
    /// Opens the directory `name`; anything else is told apart.
    fn enter(&self, name: &str) -> io::Result<Found<Self>>;
    /// Where the symbolic link `name` points.
    fn read_link(&self, name: &str) -> io::Result<String>;
    /// Makes and opens the directory `name`, which must not exist.
    fn make_directory(&self, name: &str) -> io::Result<Self>;
    /// Makes the file `name`, which must not exist; `None` where its content is of no use.
    fn make_file(&self, name: &str) -> io::Result<Option<File>>;
    /// Makes a symbolic link, which must not exist.
    fn make_symlink(&self, name: &str, target: &str, metadata: Metadata) -> io::Result<()>;
    /// Makes `name` another name of `from_name` in `from`, without following it.
    fn make_hard_link(&self, name: &str, from: &Self, from_name: &str) -> io::Result<()>;
    /// Sets this directory's mode and times.
    fn finish(&self, metadata: Metadata) -> io::Result<()>;
    /// Removes `name` with all below it; what is not there counts as removed.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Notes that the current layer names the directory `name`, which is there.
    fn name(&self, name: &str) -> io::Result<()>;
    /// Removes, here and below, what the current layer has not named. `keep` says what that is, and goes further down.
    fn keep_named(&self, keep: &mut Keep<'_>) -> io::Result<()>;
    /// What lets the disk begin with what was written so far.
    fn early_sync(&self) -> io::Result<Sync>;
}

/// Counts the directories that are stepped into: entries that alternate between deep branches cost as many steps each as
/// their paths have components.
pub(super) struct Steps {
    taken: u64,
    allowed: u64,
    depth: usize,
}

impl Steps {
    /// As many as the limits allow.
    pub(super) const fn of(limits: &Limits) -> Self {
        Self { taken: 0, allowed: limits.steps, depth: limits.depth }
    }

    /// Any number.
    pub(super) const fn unlimited() -> Self {
        Self { taken: 0, allowed: u64::MAX, depth: usize::MAX }
    }

    fn take(&mut self) -> Result<(), Obstacle> {
        self.taken += 1;
        if self.taken > self.allowed {
            return Err(Obstacle::Told(ExtractError::Limit(Exceeded { what: Bound::Steps, allowed: self.allowed })));
        }
        Ok(())
    }

    /// Links can lead deeper than the names of entries.
    fn reach(&self, depth: usize) -> Result<(), Obstacle> {
        if depth >= self.depth {
            return Err(Obstacle::Told(ExtractError::Limit(Exceeded { what: Bound::Depth, allowed: self.depth as u64 })));
        }
        Ok(())
    }
}

/// The open directories from the root down to the current one, so that neighbours in an archive cost no resolution.
///
/// Sound because nobody else writes here, and because whoever removes a directory does so from its parent: entering the
/// parent closes what was open below it.
pub(super) struct Walk<D> {
    root: D,
    follow: bool,
    steps: Vec<Step<D>>,
}

struct Step<D> {
    name: String,
    handle: D,
    /// Whether [`Walk::make`] has made it.
    made: bool,
    /// Whether [`Walk::make`] has reported it.
    told: bool,
}

/// Why a directory was not entered.
pub(super) enum Obstacle {
    /// Something else stands there.
    NotDirectory,
    /// A link that is not followed, or leads nowhere.
    Symlink,
    /// Nothing is there.
    Missing,
    /// The file system refuses.
    Disk(io::Error),
    /// Whoever is told of directories refuses.
    Told(ExtractError),
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Obstacle {
    /// The error for an entry at `path`.
    pub(super) fn explain(self, path: &str) -> ExtractError {
        let why = match self {
            Self::NotDirectory => "one of its parents is not a directory",
            Self::Symlink => "one of its parents is a symbolic link that is not followed, or leads nowhere",
            Self::Missing => "one of its parents does not exist",
            Self::Disk(source) => return ExtractError::disk("open the parent of", path, source),
            Self::Told(error) => return error,
        };
        ExtractError::Parent { path: shown(path.as_bytes()), why }
    }
}

/// Told the path of each directory on the way to an entry, and whether it was made now.
pub(super) type Tell<'a> = dyn FnMut(&str, bool) -> Result<(), ExtractError> + 'a;

/// How often one path may run into symbolic links, as in Linux itself.
const MAX_LINKS: usize = 40;

/// Bytes of one name at most, on every system.
const NAME: usize = 255;

impl<D: Directory> Walk<D> {
    /// Starts at the root. `follow` resolves symbolic links among the parents inside the root; without it they are refused.
    pub(super) fn new(root: &D, follow: bool) -> io::Result<Self> {
        Ok(Self { root: root.again()?, follow, steps: Vec::new() })
    }

    /// Opens the directory at `path` and returns its path without links.
    pub(super) fn enter(&mut self, path: &str, steps: &mut Steps) -> Result<String, Obstacle> {
        self.descend(path, steps, false)?;
        Ok(self.path())
    }

    /// The same, making what is missing; each directory on the way is told once until [`Walk::reset`].
    pub(super) fn make(&mut self, path: &str, steps: &mut Steps, tell: &mut Tell<'_>) -> Result<String, Obstacle> {
        self.descend(path, steps, true)?;
        // Told ones come first: whatever is stepped into is told with all above it.
        let first = self.steps.iter().position(|step| !step.told).unwrap_or(self.steps.len());
        let mut path = Self::path_of(&self.steps[..first]);
        for depth in first..self.steps.len() {
            self.steps[depth].told = true;
            let Step { name, made, .. } = &self.steps[depth];
            path = join(&path, name);
            depth.checked_sub(1).map_or(&self.root, |above| &self.steps[above].handle).name(name)?;
            tell(&path, *made).map_err(Obstacle::Told)?;
        }
        Ok(path)
    }

    /// Steps down, and through the targets of links.
    fn descend(&mut self, path: &str, steps: &mut Steps, make: bool) -> Result<(), Obstacle> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        // What is left of the targets of links, last name first; where they lead is never made.
        let mut detour: Vec<String> = Vec::new();
        let (mut depth, mut links) = (0_usize, 0);
        loop {
            let detoured = detour.pop();
            let Some(name) = detoured.as_deref().or_else(|| names.next()) else { break };
            if detoured.is_some() {
                steps.take()?;
                match name {
                    "" | "." => continue,
                    ".." => {
                        depth = depth.saturating_sub(1);
                        continue;
                    }
                    long if long.len() > NAME => return Err(Obstacle::Symlink),
                    _ => {}
                }
            }
            if self.steps.get(depth).is_none_or(|step| step.name != name) {
                self.steps.truncate(depth);
                steps.take()?;
                steps.reach(depth)?;
                let (handle, made) = match self.current().enter(name)? {
                    Found::Directory(handle) => (handle, false),
                    Found::Symlink if self.follow && links < MAX_LINKS => {
                        links += 1;
                        let target = self.current().read_link(name)?;
                        if target.starts_with('/') {
                            depth = 0;
                        }
                        detour.extend(target.split('/').rev().map(str::to_owned));
                        continue;
                    }
                    Found::Symlink => return Err(Obstacle::Symlink),
                    Found::Other => return Err(Obstacle::NotDirectory),
                    Found::Nothing if detoured.is_some() => return Err(Obstacle::Symlink),
                    Found::Nothing if make => (self.current().make_directory(name)?, true),
                    Found::Nothing => return Err(Obstacle::Missing),
                };
                self.steps.push(Step { name: name.to_owned(), handle, made, told: false });
            }
            depth += 1;
        }
        self.steps.truncate(depth);
        Ok(())
    }

    fn path(&self) -> String {
        Self::path_of(&self.steps)
    }

    fn path_of(steps: &[Step<D>]) -> String {
        steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>().join("/")
    }

    /// The directory entered last.
    pub(super) fn current(&self) -> &D {
        self.steps.last().map_or(&self.root, |step| &step.handle)
    }

    /// Closes everything, so that every directory is stepped into, and told, anew.
    pub(super) fn reset(&mut self) {
        self.steps.clear();
    }
}

/// A path and a name below it.
pub(super) fn join(parent: &str, name: &str) -> String {
    match (parent, name) {
        ("", name) => name.to_owned(),
        (parent, "") => parent.to_owned(),
        (parent, name) => format!("{parent}/{name}"),
    }
}

/// A path's parent and its last name.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
