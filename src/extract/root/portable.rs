//! The file system beneath the new directory, on systems other than Linux, by `cap-std`: no call leaves the directory.
//! Unlike on Linux, an absolute symbolic link among a path's parents is refused rather than resolved inside, a symbolic
//! link's own time is not set, and on Windows symbolic links are not made at all.

use std::fs::{File, FileTimes};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use super::{Found, Metadata};

/// An open directory.
pub(in super::super) struct Handle(Dir);

/// The new directory itself.
pub(in super::super) struct Root(Dir);

impl Root {
    /// Opens an existing directory that nobody else writes to.
    pub(in super::super) fn open(path: &Path) -> io::Result<Self> {
        Dir::open_ambient_dir(path, ambient_authority()).map(Self)
    }

    /// Another handle of the directory.
    pub(in super::super) fn handle(&self) -> io::Result<Handle> {
        self.0.try_clone().map(Handle)
    }

    /// Where a path that has symbolic links in it ends, as a path beneath the root without any.
    pub(in super::super) fn resolve(&self, path: &str) -> io::Result<String> {
        let end = self.0.canonicalize(path).map_err(|error| match error.kind() {
            // What leads out leads nowhere.
            io::ErrorKind::PermissionDenied => io::ErrorKind::NotFound.into(),
            _ => error,
        })?;
        let names: Option<Vec<&str>> = end.iter().filter(|name| *name != ".").map(std::ffi::OsStr::to_str).collect();
        names.map(|names| names.join("/")).ok_or_else(|| io::Error::other("resolved to a name that is not UTF-8"))
    }

    /// Files were written to the disk one by one.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the shape of the Linux one")]
    pub(in super::super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing is left for later.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the shape of the Linux one")]
    pub(in super::super) fn early_sync(&self) -> io::Result<impl FnOnce() -> io::Result<()> + Send + 'static> {
        Ok(|| Ok(()))
    }
}

impl Handle {
    /// Opens the directory `name`; anything else is told apart.
    pub(in super::super) fn enter(&self, name: &str) -> io::Result<Found<Self>> {
        match self.0.symlink_metadata(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => Err(error),
            Ok(found) if found.is_symlink() => Ok(Found::Symlink),
            Ok(found) if found.is_dir() => Ok(Found::Directory(Self(self.0.open_dir(name)?))),
            Ok(_) => Ok(Found::Other),
        }
    }

    /// Makes and opens the directory `name`, which must not exist.
    pub(in super::super) fn make_directory(&self, name: &str) -> io::Result<Self> {
        self.0.create_dir(name)?;
        self.0.open_dir(name).map(Self)
    }

    /// Makes the file `name`, which must not exist.
    pub(in super::super) fn make_file(&self, name: &str) -> io::Result<File> {
        self.0.open_with(name, OpenOptions::new().write(true).create_new(true)).map(cap_std::fs::File::into_std)
    }

    /// Makes a symbolic link, which must not exist.
    pub(in super::super) fn make_symlink(&self, name: &str, target: &str, _metadata: Metadata) -> io::Result<()> {
        #[cfg(unix)]
        return self.0.symlink_contents(target, name);
        #[cfg(not(unix))]
        {
            let _ = (name, target);
            Err(io::Error::new(io::ErrorKind::Unsupported, "symbolic links are not made on this system"))
        }
    }

    /// Makes `name` another name of `from_name` in `from`, without following it.
    pub(in super::super) fn make_hard_link(&self, name: &str, from: &Self, from_name: &str) -> io::Result<()> {
        from.0.hard_link(from_name, &self.0, name)
    }

    /// Sets an open file's mode and times, and writes it to the disk.
    pub(in super::super) fn finish_file(file: &File, metadata: Metadata) -> io::Result<()> {
        finish(file, metadata)?;
        file.sync_all()
    }

    /// Sets this directory's mode and times.
    pub(in super::super) fn finish(&self, metadata: Metadata) -> io::Result<()> {
        if cfg!(windows) {
            return Ok(());
        }
        // The handle itself may be good for nothing but finding what is below it.
        finish(&self.0.open(".")?.into_std(), metadata)
    }

    /// Removes `name` with all below it; what is not there counts as removed.
    pub(in super::super) fn remove(&self, name: &str) -> io::Result<()> {
        match self.enter(name)? {
            Found::Nothing => Ok(()),
            Found::Directory(_) => self.0.remove_dir_all(name),
            Found::Symlink | Found::Other => self.0.remove_file(name),
        }
    }

    /// Calls `keep` with each name, and whether it is a directory, and removes those for which it returns false.
    pub(in super::super) fn retain(&self, keep: &mut dyn FnMut(&str, bool) -> io::Result<bool>) -> io::Result<()> {
        loop {
            let mut changed = false;
            for entry in self.0.entries()? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_str().ok_or_else(|| io::Error::other("a name that is not UTF-8"))?;
                if !keep(name, entry.file_type()?.is_dir())? {
                    self.remove(name)?;
                    changed = true;
                }
            }
            if !changed {
                return Ok(());
            }
        }
    }
}

/// Removes a directory and all below it, whatever the modes; no link is followed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(path)
}

fn finish(file: &File, metadata: Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(std::fs::Permissions::from_mode(metadata.mode))?;
    }
    let whole = Duration::from_secs(metadata.seconds.unsigned_abs());
    let time =
        if metadata.seconds < 0 { SystemTime::UNIX_EPOCH.checked_sub(whole) } else { SystemTime::UNIX_EPOCH.checked_add(whole) };
    let time = time.and_then(|time| time.checked_add(Duration::from_nanos(u64::from(metadata.nanos))));
    // A time that the system cannot hold is not set.
    time.map_or(Ok(()), |time| file.set_times(FileTimes::new().set_modified(time).set_accessed(time)))
}
