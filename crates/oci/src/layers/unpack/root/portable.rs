//! The file system beneath the new directory, on systems other than Linux, by `cap-std`: no call leaves the directory.
//! Unlike on Linux, a symbolic link's own time is not set, and on Windows symbolic links are not made at all.

use std::fs::{File, FileTimes};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use super::{Directory, Found, Keep, Metadata, Sync};

/// An open directory.
pub(in super::super) struct Handle(Dir);

impl Handle {
    /// Opens an existing directory that nobody else writes to.
    pub(in super::super) fn open(path: &Path) -> io::Result<Self> {
        Dir::open_ambient_dir(path, ambient_authority()).map(Self)
    }

    /// Nobody else writes here.
    #[expect(clippy::unused_self, reason = "the shape of the Linux one")]
    pub(in super::super) fn is_at(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
    }

    /// Files were written to the disk one by one.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the shape of the Linux one")]
    pub(in super::super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Sets an open file's mode and times, and writes it to the disk.
    pub(in super::super) fn finish_file(file: &File, metadata: Metadata) -> io::Result<()> {
        finish(file, metadata)?;
        file.sync_all()
    }
}

impl Directory for Handle {
    fn again(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    fn read_link(&self, name: &str) -> io::Result<String> {
        let target = self.0.read_link_contents(name)?;
        target.into_os_string().into_string().map_err(|_| io::Error::other("a link that is not UTF-8"))
    }

    fn name(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    /// Nothing is left for later.
    fn early_sync(&self) -> io::Result<Sync> {
        Ok(Box::new(|| Ok(())))
    }

    fn enter(&self, name: &str) -> io::Result<Found<Self>> {
        match self.0.symlink_metadata(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => Err(error),
            Ok(found) if found.is_symlink() => Ok(Found::Symlink),
            Ok(found) if found.is_dir() => Ok(Found::Directory(Self(self.0.open_dir(name)?))),
            Ok(_) => Ok(Found::Other),
        }
    }

    fn make_directory(&self, name: &str) -> io::Result<Self> {
        self.0.create_dir(name)?;
        self.0.open_dir(name).map(Self)
    }

    fn make_file(&self, name: &str) -> io::Result<Option<File>> {
        let made = self.0.open_with(name, OpenOptions::new().write(true).create_new(true))?;
        Ok(Some(made.into_std()))
    }

    fn make_symlink(&self, name: &str, target: &str, _metadata: Metadata) -> io::Result<()> {
        #[cfg(unix)]
        return self.0.symlink_contents(target, name);
        #[cfg(not(unix))]
        {
            let _ = (name, target);
            Err(io::Error::new(io::ErrorKind::Unsupported, "symbolic links are not made on this system"))
        }
    }

    fn make_hard_link(&self, name: &str, from: &Self, from_name: &str) -> io::Result<()> {
        from.0.hard_link(from_name, &self.0, name)
    }

    fn finish(&self, metadata: Metadata) -> io::Result<()> {
        if cfg!(windows) {
            return Ok(());
        }
        // The handle itself may be good for nothing but finding what is below it.
        finish(&self.0.open(".")?.into_std(), metadata)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.enter(name)? {
            Found::Nothing => Ok(()),
            Found::Directory(_) => self.0.remove_dir_all(name),
            Found::Symlink | Found::Other => self.0.remove_file(name),
        }
    }

    fn keep_named(&self, keep: &mut Keep<'_>) -> io::Result<()> {
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
