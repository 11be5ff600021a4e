//! The directory that is being filled, and the only calls that touch it.
//!
//! Threats: *links that lead out* (CVE-2018-20990, CVE-2021-38511, CVE-2021-21272, containerd's breakouts): an entry is
//! placed by an open handle of its parent and one name, never by a path; the handle was reached by steps that follow no
//! link, or, where a link stands among the parents, by a resolver for which the new directory is the root. *Existing
//! things changed through a link* (CVE-2021-32760, CVE-2026-33056): modes and times are set on handles of what was just
//! made. *A hard link to a file of the host* (CVE-2026-50163): its target is opened the same way, and never followed.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;

#[cfg(target_os = "linux")]
pub use linux::remove_tree;
#[cfg(target_os = "linux")]
pub(super) use linux::{Handle, Root};
#[cfg(not(target_os = "linux"))]
pub use portable::remove_tree;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::{Handle, Root};

use std::io;

use super::error::{ExtractError, shown};

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

/// The open directories from the root down to the current one, so that neighbours in an archive cost no resolution.
///
/// Sound because nobody else writes here, and because whoever removes a directory does so from its parent: entering the
/// parent closes what was open below it.
pub(super) struct Walk {
    root: Handle,
    follow: bool,
    steps: Vec<Step>,
}

struct Step {
    name: String,
    handle: Handle,
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

impl Walk {
    /// Starts at the root. `follow` resolves symbolic links among the parents inside the root; without it they are refused.
    pub(super) fn new(root: &Root, follow: bool) -> io::Result<Self> {
        Ok(Self { root: root.handle()?, follow, steps: Vec::new() })
    }

    /// Opens the directory at `path` and returns its path without links.
    pub(super) fn enter(&mut self, root: &Root, path: &str) -> Result<String, Obstacle> {
        self.go(root, path, None)
    }

    /// The same, making what is missing; each directory on the way is told once until [`Walk::reset`].
    pub(super) fn make(&mut self, root: &Root, path: &str, tell: &mut Tell<'_>) -> Result<String, Obstacle> {
        self.go(root, path, Some(tell))
    }

    fn go(&mut self, root: &Root, path: &str, mut tell: Option<&mut Tell<'_>>) -> Result<String, Obstacle> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let Some(link_end) = self.descend(&path, &mut tell)? else { return Ok(path) };
            if !self.follow {
                break;
            }
            let resolved = match root.resolve(&path[..link_end]) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                other => other?,
            };
            path = join(&resolved, path[link_end..].trim_start_matches('/'));
        }
        Err(Obstacle::Symlink)
    }

    /// Steps down; a link on the way ends it with the length of the path up to and with the link.
    fn descend(&mut self, path: &str, tell: &mut Option<&mut Tell<'_>>) -> Result<Option<usize>, Obstacle> {
        let mut end = 0;
        for (depth, name) in path.split('/').filter(|name| !name.is_empty()).enumerate() {
            end += name.len() + usize::from(end > 0);
            let mut made = false;
            if self.steps.get(depth).is_none_or(|step| step.name != name) {
                self.steps.truncate(depth);
                let handle = match self.current().enter(name)? {
                    Found::Directory(handle) => handle,
                    Found::Symlink => return Ok(Some(end)),
                    Found::Other => return Err(Obstacle::NotDirectory),
                    Found::Nothing if tell.is_some() => {
                        made = true;
                        self.current().make_directory(name)?
                    }
                    Found::Nothing => return Err(Obstacle::Missing),
                };
                self.steps.push(Step { name: name.to_owned(), handle, told: false });
            }
            if let (Some(tell), Some(step)) = (&mut *tell, self.steps.get_mut(depth))
                && !std::mem::replace(&mut step.told, true)
            {
                tell(&path[..end], made).map_err(Obstacle::Told)?;
            }
        }
        self.steps.truncate(path.split('/').filter(|name| !name.is_empty()).count());
        Ok(None)
    }

    /// The directory entered last.
    pub(super) fn current(&self) -> &Handle {
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
