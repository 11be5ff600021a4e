//! A directory that becomes visible only when it is whole.
//!
//! It is filled under a hidden name beside its target and renamed at the end, after everything in it reached the disk. A
//! failure, a drop and an interrupt remove it. A crash or a SIGKILL leaves it behind; it carries a lock that dies with the
//! process, and the next extraction beside it sweeps what nobody holds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::ExtractError;
use super::root::{Handle, remove_tree};
use crate::fs::{create_dirs, shown, sorted_listing, sync_dir};
use crate::interrupt::{self, Registration};

/// A hidden directory beside its target.
pub(super) struct Staging {
    path: PathBuf,
    target: PathBuf,
    parent: PathBuf,
    done: bool,
    /// Held until the directory is whole or gone.
    lock: Option<File>,
    parents: Parents,
    _cleanup: Registration,
}

const PREFIX: &str = ".plugin-build-unpack-";

impl Staging {
    /// Makes the hidden directory. The target must be missing, or an empty directory.
    pub(super) fn beside(target: &Path) -> Result<Self, ExtractError> {
        let refused = |why| ExtractError::Destination { path: shown(target), why };
        if target.file_name().is_none() {
            return Err(refused("the path does not end in a name"));
        }
        match fs::symlink_metadata(target) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(disk("look at", target, error)),
            Ok(metadata) if !metadata.is_dir() => return Err(refused("something else is there")),
            Ok(_) if !sorted_listing(target)?.is_empty() => return Err(refused("it is there and not empty")),
            Ok(_) => {}
        }
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let parents = Parents::make(&parent)?;
        sweep(&parent);
        let undo = |(path, _): &(PathBuf, _)| {
            let (path, made) = (path.clone(), parents.made.clone());
            move || {
                remove_while_filled(&path);
                drop(Parents { made: made.clone() });
            }
        };
        let ((path, lock), cleanup) = interrupt::making(|| hidden_directory(&parent), undo)?;
        Ok(Self { path, target: target.to_owned(), parent, done: false, lock, parents, _cleanup: cleanup })
    }

    /// Where to fill it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes everything to the disk and gives the directory its name.
    pub(super) fn commit(mut self, root: &Handle) -> Result<(), ExtractError> {
        root.sync().map_err(|error| disk("write", &self.path, error))?;
        fs::rename(&self.path, &self.target).map_err(|error| disk("rename the finished directory to", &self.target, error))?;
        self.done = true;
        if !root.is_at(&self.target) {
            let replaced = std::io::Error::other("somebody else put something there");
            return Err(disk("rename the finished directory to", &self.target, replaced));
        }
        drop(self.lock.take());
        sync_dir(&self.parent)?;
        self.parents.keep()?;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.done {
            drop(remove_tree(&self.path));
        }
    }
}

/// Directories above the target that did not exist; removed again when dropped, unless somebody put something there.
struct Parents {
    /// Outermost first.
    made: Vec<PathBuf>,
}

impl Parents {
    fn make(parent: &Path) -> Result<Self, ExtractError> {
        let missing = parent.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists());
        let mut made: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        made.reverse();
        let parents = Self { made };
        create_dirs(parent)?;
        Ok(parents)
    }

    /// They stay, durably.
    fn keep(&mut self) -> Result<(), ExtractError> {
        for dir in std::mem::take(&mut self.made) {
            if let Some(above) = dir.parent().filter(|above| !above.as_os_str().is_empty()) {
                sync_dir(above)?;
            }
        }
        Ok(())
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for dir in self.made.iter().rev() {
            drop(fs::remove_dir(dir));
        }
    }
}

/// Removes a directory that another thread is still filling: the process is about to exit, however busy the machine is.
fn remove_while_filled(path: &Path) {
    let end = Instant::now() + Duration::from_secs(10);
    while remove_tree(path).is_err() && path.exists() && Instant::now() < end {}
}

/// Makes a directory and locks it, unless a sweep took it for a leftover in between.
fn hidden_directory(parent: &Path) -> Result<(PathBuf, Option<File>), ExtractError> {
    loop {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).rand_bytes(10);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(fs::Permissions::from_mode(0o700));
        }
        let made = builder.tempdir_in(parent);
        let path = made.map_err(|error| disk("create a directory in", parent, error))?.keep();
        // Whatever the umask took.
        admit_owner(&path).map_err(|error| disk("set the mode of", &path, error))?;
        match lock(&path) {
            Locked::Here(file) if path.exists() => return Ok((path, Some(file))),
            Locked::Impossible if path.exists() => return Ok((path, None)),
            Locked::Here(_) | Locked::Impossible | Locked::Elsewhere => {}
        }
    }
}

/// Gives its owner all rights to a directory, and to nothing that a link at its path leads to.
#[cfg(target_os = "linux")]
fn admit_owner(path: &Path) -> std::io::Result<()> {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;
    let held = no_link(nix::fcntl::OFlag::O_PATH).open(path)?;
    let held_path = Path::new(crate::fs::HANDLES).join(held.as_raw_fd().to_string());
    fs::set_permissions(held_path, fs::Permissions::from_mode(0o700))
}

/// Elsewhere nobody else may write there.
#[cfg(not(target_os = "linux"))]
fn admit_owner(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(())
    }
}

/// Opens directories that are no links.
#[cfg(unix)]
fn no_link(more: nix::fcntl::OFlag) -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    let flags = nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_NOFOLLOW | more;
    options.read(true).custom_flags(flags.bits());
    options
}

/// Removes what killed extractions left beside a target.
fn sweep(parent: &Path) {
    for name in sorted_listing(parent).unwrap_or_default() {
        let path = parent.join(&name);
        let ours = name.to_string_lossy().starts_with(PREFIX) && fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        if ours && let Locked::Here(_held) = lock(&path) {
            drop(remove_tree(&path));
        }
    }
}

enum Locked {
    Here(File),
    Elsewhere,
    /// Directories cannot be locked here; then no sweep takes them either.
    Impossible,
}

fn lock(path: &Path) -> Locked {
    #[cfg(unix)]
    let opened = no_link(nix::fcntl::OFlag::empty()).open(path);
    #[cfg(not(unix))]
    let opened = File::open(path);
    let Ok(handle) = opened else { return Locked::Impossible };
    match handle.try_lock() {
        Ok(()) => Locked::Here(handle),
        Err(fs::TryLockError::WouldBlock) => Locked::Elsewhere,
        Err(fs::TryLockError::Error(_)) => Locked::Impossible,
    }
}

fn disk(action: &'static str, path: &Path, source: std::io::Error) -> ExtractError {
    ExtractError::disk(action, &shown(path).display().to_string(), source)
}
