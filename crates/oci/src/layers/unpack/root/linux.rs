//! The file system beneath the new directory, on Linux: every call takes an open directory and one name, and no call
//! follows a symbolic link.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstat, fstatat, futimens, mkdirat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, syncfs, unlinkat};

use super::{Directory, Found, Keep, Metadata, Sync};

/// An open directory.
pub(in super::super) struct Handle(OwnedFd);

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const NEW_FILE: OFlag =
    OFlag::O_WRONLY.union(OFlag::O_CREAT).union(OFlag::O_EXCL).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Handle {
    /// Opens an existing directory that nobody else writes to.
    pub(in super::super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(AT_FDCWD, path, DIRECTORY, Mode::empty())?))
    }

    /// Whether this directory is the one at a path, by no link.
    pub(in super::super) fn is_at(&self, path: &Path) -> bool {
        match (fstat(&self.0), fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)) {
            (Ok(held), Ok(named)) => (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino),
            _ => false,
        }
    }

    /// Writes everything to the disk, in one call for the whole file system.
    pub(in super::super) fn sync(&self) -> io::Result<()> {
        Ok(syncfs(&self.0)?)
    }

    /// Sets an open file's mode and times.
    pub(in super::super) fn finish_file(file: &File, metadata: Metadata) -> io::Result<()> {
        finish(file, metadata)
    }

    fn remove_named<N: nix::NixPath + ?Sized>(&self, name: &N) -> io::Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(errno.into()),
        }
        let fd = match openat(&self.0, name, DIRECTORY, Mode::empty()) {
            Err(Errno::EACCES) => {
                self.admit_owner(name)?;
                openat(&self.0, name, DIRECTORY, Mode::empty())?
            }
            other => other?,
        };
        let below = Self(fd);
        below.clear()?;
        Ok(unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)?)
    }

    /// Gives its owner all rights to the directory `name`, and to nothing that a link leads to.
    fn admit_owner<N: nix::NixPath + ?Sized>(&self, name: &N) -> io::Result<()> {
        let held = openat(&self.0, name, DIRECTORY.union(OFlag::O_PATH), Mode::empty())?;
        let path = Path::new(crate::fs::HANDLES).join(held.as_raw_fd().to_string());
        Ok(fchmodat(AT_FDCWD, &path, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?)
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

impl Directory for Handle {
    fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    fn enter(&self, name: &str) -> io::Result<Found<Self>> {
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

    fn make_directory(&self, name: &str) -> io::Result<Self> {
        mkdirat(&self.0, name, Mode::S_IRWXU)?;
        match openat(&self.0, name, DIRECTORY, Mode::empty()) {
            // The umask took the owner's own rights.
            Err(Errno::EACCES) => {
                self.admit_owner(name)?;
                Ok(Self(openat(&self.0, name, DIRECTORY, Mode::empty())?))
            }
            other => Ok(Self(other?)),
        }
    }

    fn make_file(&self, name: &str) -> io::Result<Option<File>> {
        Ok(Some(File::from(openat(&self.0, name, NEW_FILE, Mode::S_IRUSR | Mode::S_IWUSR)?)))
    }

    fn read_link(&self, name: &str) -> io::Result<String> {
        let target = readlinkat(&self.0, name)?;
        target.into_string().map_err(|_| io::Error::other("a link that is not UTF-8"))
    }

    fn name(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn early_sync(&self) -> io::Result<Sync> {
        let root = self.0.try_clone()?;
        Ok(Box::new(move || Ok(syncfs(&root)?)))
    }

    fn make_symlink(&self, name: &str, target: &str, metadata: Metadata) -> io::Result<()> {
        symlinkat(target, &self.0, name)?;
        let time = time(metadata);
        Ok(utimensat(&self.0, name, &time, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    fn make_hard_link(&self, name: &str, from: &Self, from_name: &str) -> io::Result<()> {
        Ok(linkat(&from.0, from_name, &self.0, name, AtFlags::empty())?)
    }

    fn finish(&self, metadata: Metadata) -> io::Result<()> {
        finish(&self.0, metadata)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.remove_named(name)
    }

    fn keep_named(&self, keep: &mut Keep<'_>) -> io::Result<()> {
        self.each(&mut |name, directory| {
            // A name that is not UTF-8 cannot have come from an archive.
            let kept = std::str::from_utf8(name.to_bytes()).ok().map_or(Ok(false), |name| keep(name, directory))?;
            if !kept {
                self.remove_named(name)?;
            }
            Ok(!kept)
        })
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
