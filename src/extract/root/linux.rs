//! The file system beneath the new directory, on Linux: every call takes an open directory and one name, and no call
//! follows a symbolic link. Links among a path's parents are resolved by `pathrs`, with the new directory as their root.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, syncfs, unlinkat};

use super::{Found, Metadata};

/// An open directory.
pub(in super::super) struct Handle(OwnedFd);

/// The new directory itself.
pub(in super::super) struct Root {
    handle: Handle,
    resolver: pathrs::Root,
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const NEW_FILE: OFlag =
    OFlag::O_WRONLY.union(OFlag::O_CREAT).union(OFlag::O_EXCL).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Root {
    /// Opens an existing directory that nobody else writes to.
    pub(in super::super) fn open(path: &Path) -> io::Result<Self> {
        let fd = openat(AT_FDCWD, path, DIRECTORY, Mode::empty())?;
        let resolver = pathrs::Root::from_fd(fd.try_clone()?);
        Ok(Self { handle: Handle(fd), resolver })
    }

    /// Another handle of the directory.
    pub(in super::super) fn handle(&self) -> io::Result<Handle> {
        Ok(Handle(self.handle.0.try_clone()?))
    }

    /// Where a path that has symbolic links in it ends, as a path beneath the root without any.
    pub(in super::super) fn resolve(&self, path: &str) -> io::Result<String> {
        let handle = self.resolver.resolve(path).map_err(|error| match error.kind() {
            pathrs::error::ErrorKind::OsError(Some(errno)) => io::Error::from_raw_os_error(errno),
            _ => io::Error::other(error),
        })?;
        let end = location(&OwnedFd::from(handle))?;
        let root = location(&self.handle.0)?;
        let inside = end.strip_prefix(&root).map_err(|_| io::Error::other("resolved to a place outside"))?;
        inside.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("resolved to a name that is not UTF-8"))
    }

    /// Writes everything to the disk, in one call for the whole file system.
    pub(in super::super) fn sync(&self) -> io::Result<()> {
        Ok(syncfs(&self.handle.0)?)
    }

    /// The same for another thread, as far as it helps there.
    pub(in super::super) fn early_sync(&self) -> io::Result<impl FnOnce() -> io::Result<()> + Send + 'static> {
        let root = self.handle.0.try_clone()?;
        Ok(move || Ok(syncfs(&root)?))
    }
}

fn location(fd: &OwnedFd) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

impl Handle {
    /// Opens the directory `name`; anything else is told apart.
    pub(in super::super) fn enter(&self, name: &str) -> io::Result<Found<Self>> {
        match openat(&self.0, name, DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Found::Directory(Self(fd))),
            Err(Errno::ENOENT) => Ok(Found::Nothing),
            // O_DIRECTORY with O_NOFOLLOW says either of a link.
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                let stat = fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                let link = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFLNK;
                Ok(if link { Found::Symlink } else { Found::Other })
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes and opens the directory `name`, which must not exist; private until [`Handle::finish`].
    pub(in super::super) fn make_directory(&self, name: &str) -> io::Result<Self> {
        mkdirat(&self.0, name, Mode::S_IRWXU)?;
        match openat(&self.0, name, DIRECTORY, Mode::empty()) {
            // The umask took the owner's own rights.
            Err(Errno::EACCES) => {
                fchmodat(&self.0, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
                Ok(Self(openat(&self.0, name, DIRECTORY, Mode::empty())?))
            }
            other => Ok(Self(other?)),
        }
    }

    /// Makes the file `name`, which must not exist.
    pub(in super::super) fn make_file(&self, name: &str) -> io::Result<File> {
        Ok(File::from(openat(&self.0, name, NEW_FILE, Mode::S_IRUSR | Mode::S_IWUSR)?))
    }

    /// Makes a symbolic link, which must not exist.
    pub(in super::super) fn make_symlink(&self, name: &str, target: &str, metadata: Metadata) -> io::Result<()> {
        symlinkat(target, &self.0, name)?;
        let time = time(metadata);
        Ok(utimensat(&self.0, name, &time, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    /// Makes `name` another name of `from_name` in `from`, without following it.
    pub(in super::super) fn make_hard_link(&self, name: &str, from: &Self, from_name: &str) -> io::Result<()> {
        Ok(linkat(&from.0, from_name, &self.0, name, AtFlags::empty())?)
    }

    /// Sets an open file's mode and times.
    pub(in super::super) fn finish_file(file: &File, metadata: Metadata) -> io::Result<()> {
        finish(file, metadata)
    }

    /// Sets this directory's mode and times.
    pub(in super::super) fn finish(&self, metadata: Metadata) -> io::Result<()> {
        finish(&self.0, metadata)
    }

    /// Removes `name` with all below it; what is not there counts as removed.
    pub(in super::super) fn remove(&self, name: &str) -> io::Result<()> {
        self.remove_named(name)
    }

    /// Calls `keep` with each name, and whether it is a directory, and removes those for which it returns false.
    pub(in super::super) fn retain(&self, keep: &mut dyn FnMut(&str, bool) -> io::Result<bool>) -> io::Result<()> {
        self.each(&mut |name, directory| {
            // A name that is not UTF-8 cannot have come from an archive.
            let kept = std::str::from_utf8(name.to_bytes()).ok().map_or(Ok(false), |name| keep(name, directory))?;
            if !kept {
                self.remove_named(name)?;
            }
            Ok(!kept)
        })
    }

    fn remove_named<N: nix::NixPath + ?Sized>(&self, name: &N) -> io::Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(errno.into()),
        }
        let fd = match openat(&self.0, name, DIRECTORY, Mode::empty()) {
            Err(Errno::EACCES) => {
                fchmodat(&self.0, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
                openat(&self.0, name, DIRECTORY, Mode::empty())?
            }
            other => other?,
        };
        let below = Self(fd);
        below.clear()?;
        Ok(unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)?)
    }

    /// Removes everything in this directory, whatever the modes.
    fn clear(&self) -> io::Result<()> {
        // Only a directory that was already finished can lack these; without them nothing in it could be removed.
        let _ = fchmod(&self.0, Mode::S_IRWXU);
        self.each(&mut |name, _| self.remove_named(name).map(|()| true))
    }

    /// Visits every name until a pass over the directory changes nothing, so that no list of names is held.
    fn each(&self, visit: &mut dyn FnMut(&CStr, bool) -> io::Result<bool>) -> io::Result<()> {
        let mut names = Dir::from_fd(openat(&self.0, c".", DIRECTORY, Mode::empty())?)?;
        loop {
            let mut changed = false;
            for entry in names.iter() {
                let entry = entry?;
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                let directory = match entry.file_type() {
                    Some(kind) => kind == Type::Directory,
                    None => self.is_directory(name)?,
                };
                changed |= visit(name, directory)?;
            }
            if !changed {
                return Ok(());
            }
        }
    }

    fn is_directory(&self, name: &CStr) -> io::Result<bool> {
        let stat = fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR)
    }
}

/// Removes a directory and all below it, whatever the modes; no link is followed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Handle(openat(AT_FDCWD, parent, DIRECTORY.difference(OFlag::O_NOFOLLOW), Mode::empty())?).remove_named(name)
}

fn finish(fd: impl AsFd, metadata: Metadata) -> io::Result<()> {
    fchmod(&fd, Mode::from_bits_truncate(metadata.mode))?;
    let time = time(metadata);
    Ok(futimens(&fd, &time, &time)?)
}

fn time(metadata: Metadata) -> TimeSpec {
    TimeSpec::new(metadata.seconds, i64::from(metadata.nanos))
}
