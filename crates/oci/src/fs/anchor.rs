//! Directories that are held open, so that what is done in them is done in them, whoever renames or replaces what is above.
//!
//! Threat: *another writer swaps a directory for a link* between two of our steps. A name is looked up in an open directory,
//! and the directory below it is opened without following a link. On Linux [`Anchor::at`] gives a path that starts at the
//! handle (`/proc/self/fd/N/NAME`): one name below it is one look-up in that directory. Elsewhere it is the plain path, and
//! nobody else may write there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::fs::FileError;

/// An open directory.
#[derive(Debug)]
pub struct Anchor {
    /// Where it was found: for messages.
    path: PathBuf,
    handle: File,
}

impl Anchor {
    /// Opens a directory that the user named, which may be a link.
    pub fn open(path: &Path) -> io::Result<Self> {
        let handle = File::open(path)?;
        if !handle.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path: path.to_owned(), handle })
    }

    /// Opens a directory in this one, which may not be a link.
    pub fn below(&self, name: impl AsRef<Path>) -> io::Result<Self> {
        let path = self.at(&name);
        let handle = no_follow().open(&path)?;
        if !handle.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path: self.shown(name), handle })
    }

    /// The same, made with mode 0755 where nothing is there.
    pub fn make(&self, name: &str) -> Result<Self, FileError> {
        let path = self.at(name);
        let made = match fs::create_dir(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(FileError::at("create", &path)(error)),
        };
        let below = self.below(name).map_err(FileError::at("open", &path))?;
        if made {
            below.set_mode(0o755).map_err(FileError::at("set the mode of", &path))?;
        }
        Ok(below)
    }

    /// What is known of the directory itself.
    pub fn metadata(&self) -> io::Result<fs::Metadata> {
        self.handle.metadata()
    }

    /// Opens a file in this directory for reading; a link, and what is no file, is an error.
    pub fn file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let file = no_follow().open(self.at(name))?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    }

    #[cfg(unix)]
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        self.handle.set_permissions(fs::Permissions::from_mode(mode))
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the shape of the other one")]
    fn set_mode(&self, _: u32) -> io::Result<()> {
        Ok(())
    }

    /// A path to one name in this directory, for as long as this lives.
    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.base().join(name)
    }

    /// A path to this directory, for as long as this lives.
    pub fn base(&self) -> PathBuf {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd as _;
            Path::new(crate::fs::HANDLES).join(self.handle.as_raw_fd().to_string())
        }
        #[cfg(not(target_os = "linux"))]
        {
            self.path.clone()
        }
    }

    /// The path by which people know a name in it.
    pub fn shown(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

/// Opens what is there and no link; never waits for the other end of a pipe.
fn no_follow() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags((nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits());
    }
    options
}
