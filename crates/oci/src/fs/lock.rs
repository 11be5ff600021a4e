//! One writer at a time: an exclusive `flock` on a file that is never renamed or removed by its users.
//!
//! A killed holder frees the lock. If somebody removed the lock file while we waited (a whole directory was deleted and
//! made anew), the file that we hold is no longer the one at the path: open again.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::fs::{FileError, is_at};

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the exclusive lock on `path`, creating the empty file where needed. `waiting` is called once if
    /// somebody else holds it.
    pub fn exclusive(path: &Path, waiting: impl FnOnce()) -> Result<Self, FileError> {
        let mut waiting = Some(waiting);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
        }
        loop {
            let file = options.open(path).map_err(|error| {
                // A link would make a file wherever it leads.
                let error = if path.is_symlink() { io::Error::other("it is a symbolic link") } else { error };
                FileError::at("lock", path)(error)
            })?;
            if file.try_lock().is_err() {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                file.lock().map_err(FileError::at("lock", path))?;
            }
            if is_at(&file, path) {
                return Ok(Self { _file: file });
            }
        }
    }

    /// Waits for the exclusive lock on a directory, without a lock file in it: for files that are replaced as a whole.
    /// Where directories cannot be locked, nothing is.
    pub fn directory(path: &Path, waiting: impl FnOnce()) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::at("open", path))?;
        if cfg!(unix) && file.try_lock().is_err() {
            waiting();
            file.lock().map_err(FileError::at("lock", path))?;
        }
        Ok(Self { _file: file })
    }
}
