//! Files: sorted listings, explicit modes, and writing that survives a crash.
//!
//! A file comes to be in this order: a temporary file in the same file system, its bytes, `fsync`, mode, rename,
//! `fsync` of the directory. Whoever reads sees the old file or the new one. After a crash only temporary files are left.

pub mod anchor;
pub mod lock;
pub mod stamps;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tempfile::{NamedTempFile, TempPath};

use crate::failure::Failure;
use crate::interrupt::{self, Registration};

/// Names the path and what was tried with it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} `{}`", path.display())]
pub struct FileError {
    /// `read`, `write`, `create`.
    pub what: &'static str,
    /// The path.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`.
    pub fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { what, path: shown(&path), source }
    }
}

impl Failure for FileError {}

/// Where Linux shows a process its own open files.
pub const HANDLES: &str = "/proc/self/fd";

/// A path as people know it: one that starts at an open directory, by where that is now.
pub fn shown(path: &Path) -> PathBuf {
    let mut names = path.strip_prefix(HANDLES).into_iter().flatten();
    let base = names.next().and_then(|number| fs::read_link(Path::new(HANDLES).join(number)).ok());
    base.map_or_else(|| path.to_owned(), |base| names.fold(base, |path, name| path.join(name)))
}

/// The names in a directory, sorted by their bytes. A directory that does not exist is an error.
pub fn sorted_listing(dir: &Path) -> Result<Vec<OsString>, FileError> {
    #[expect(clippy::disallowed_methods, reason = "the one home of read_dir: what comes out is sorted")]
    let entries = fs::read_dir(dir).map_err(FileError::at("list", dir))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(FileError::at("list", dir))?.file_name());
    }
    names.sort();
    Ok(names)
}

/// Makes a directory and its parents with mode 0755, whatever the umask. Existing ones are left alone, and after an interrupt
/// none is made again.
pub fn create_dirs(dir: &Path) -> Result<(), FileError> {
    if dir.is_dir() { Ok(()) } else { interrupt::undisturbed(|| create_missing(dir)) }
}

fn create_missing(dir: &Path) -> Result<(), FileError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_missing(parent)?;
    }
    match fs::create_dir(dir) {
        Ok(()) => set_mode(dir, 0o755),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(FileError::at("create", dir)(error)),
    }
}

/// Whether something can be written in a directory, or made where it is to be: by a file without a name, so that nothing is
/// left whatever happens.
pub fn check_writable(dir: &Path) -> Result<(), FileError> {
    let there = dir.ancestors().find(|at| at.exists()).filter(|at| !at.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(there).map(drop).map_err(FileError::at("write in", there))
}

/// Sets permission bits; on systems without them, nothing.
pub fn set_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(FileError::at("set the mode of", path))
    }
    #[cfg(not(unix))]
    {
        let _ = (path, mode);
        Ok(())
    }
}

/// The same for what is open, wherever its name leads by now.
pub fn set_mode_of(file: &File, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(fs::Permissions::from_mode(mode))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, mode);
        Ok(())
    }
}

/// Makes a directory's names durable.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    if cfg!(windows) {
        return Ok(());
    }
    File::open(dir).and_then(|handle| handle.sync_all()).map_err(FileError::at("sync", dir))
}

/// Lets the disk begin while more is still being written, so that little is left to wait for at the end.
#[derive(Debug, Default)]
pub struct EarlySync {
    /// Bytes written since the last one began.
    unsynced: u64,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl EarlySync {
    /// Counts what was written; every so many bytes, runs what `sync` gives on a thread of its own, unless the last one
    /// still runs. Without a descriptor or a thread to spare nothing happens: the end syncs it all.
    pub fn wrote<S>(&mut self, bytes: u64, sync: impl FnOnce() -> io::Result<S>) -> io::Result<()>
    where
        S: FnOnce() -> io::Result<()> + Send + 'static,
    {
        self.unsynced += bytes;
        if self.unsynced >= EARLY_SYNC && self.syncing.as_ref().is_none_or(JoinHandle::is_finished) {
            self.end()?;
            self.syncing = sync().ok().and_then(|sync| thread::Builder::new().spawn(sync).ok());
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Waits for the last one. The system tells of a failed write only once: whoever was told must pass it on.
    pub fn end(&mut self) -> io::Result<()> {
        self.syncing.take().map_or(Ok(()), |syncing| syncing.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// A temporary directory: removed when dropped and on an interrupt.
#[derive(Debug)]
pub struct TempDir {
    dir: tempfile::TempDir,
    _cleanup: Registration,
}

impl TempDir {
    /// Makes it, as `builder` has it.
    pub fn new_in(builder: &tempfile::Builder, parent: &Path) -> Result<Self, FileError> {
        let (dir, cleanup) = interrupt::making(
            || builder.tempdir_in(parent),
            |dir| {
                let path = dir.path().to_owned();
                move || drop(fs::remove_dir_all(&path))
            },
        )
        .map_err(FileError::at("create a directory in", parent))?;
        Ok(Self { dir, _cleanup: cleanup })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives the directory, when it is whole, its name.
    pub fn persist(self, path: &Path) -> Result<(), FileError> {
        fs::rename(self.dir.path(), path).map_err(FileError::at("create", path))?;
        // It is no longer at the path that would be removed.
        drop(self.dir.keep());
        Ok(())
    }
}

/// A temporary file that knows its lock: removed when dropped, on interrupt, and, after a crash, by [`sweep`].
#[derive(Debug)]
pub struct TempFile {
    file: NamedTempFile,
    early: EarlySync,
    /// Absent for one that is to be gone on with.
    _cleanup: Option<Registration>,
}

impl TempFile {
    /// Makes a locked temporary file in `dir`. Between making and locking it another process may sweep it: then another
    /// is made.
    pub fn new_in(dir: &Path) -> Result<Self, FileError> {
        loop {
            let mut builder = tempfile::Builder::new();
            let make = || builder.prefix(TEMP_PREFIX).rand_bytes(10).tempfile_in(dir);
            let (file, cleanup) = interrupt::making(make, |file| {
                let path = file.path().to_owned();
                move || drop(fs::remove_file(&path))
            })
            .map_err(FileError::at("create a temporary file in", dir))?;
            file.as_file().lock().map_err(FileError::at("lock", file.path()))?;
            if is_at(file.as_file(), file.path()) {
                return Ok(Self { file, early: EarlySync::default(), _cleanup: Some(cleanup) });
            }
        }
    }

    /// Takes up the temporary file at this path, or makes it, under a name with [`TEMP_PREFIX`]: it outlives its owner, an interrupt and a crash, until it is
    /// [removed](Self::remove), persisted or swept. `None` while another process is at work on it.
    pub fn taken_up(path: &Path) -> Result<Option<Self>, FileError> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
        }
        let file = options.open(path).map_err(FileError::at("open", path))?;
        if file.try_lock().is_err() || !is_at(&file, path) {
            return Ok(None);
        }
        let temp_path = TempPath::try_from_path(path).map_err(FileError::at("open", path))?;
        let mut file = NamedTempFile::from_parts(file, temp_path);
        file.disable_cleanup(true);
        Ok(Some(Self { file, early: EarlySync::default(), _cleanup: None }))
    }

    /// How many bytes it has; what is written comes after them.
    pub fn seek_end(&mut self) -> Result<u64, FileError> {
        self.file.as_file_mut().seek(SeekFrom::End(0)).map_err(FileError::at("read", self.file.path()))
    }

    /// Throws away what it has.
    pub fn clear(&mut self) -> Result<(), FileError> {
        let file = self.file.as_file_mut();
        file.set_len(0).and_then(|()| file.rewind()).map_err(FileError::at("write", self.file.path()))
    }

    /// Removes it, also one that would outlive its owner.
    pub fn remove(mut self) {
        self.file.disable_cleanup(false);
    }

    /// Where it is now.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// A second handle, for reading it from the start.
    pub fn reopen(&self) -> Result<File, FileError> {
        self.file.reopen().map_err(FileError::at("open", self.path()))
    }

    /// Makes the content durable and gives it its final name, replacing what has that name. The caller syncs the
    /// directory.
    pub fn persist(mut self, target: &Path, mode: u32) -> Result<(), FileError> {
        self.settle(mode)?;
        self.rename(target)
    }

    fn settle(&mut self, mode: u32) -> Result<(), FileError> {
        // By the handle: another writer may have put a link at the path.
        set_mode_of(self.file.as_file(), mode).map_err(FileError::at("set the mode of", self.file.path()))?;
        self.early.end().and_then(|()| self.file.as_file().sync_all()).map_err(FileError::at("write", self.file.path()))
    }

    fn rename(self, target: &Path) -> Result<(), FileError> {
        let named = self.file.persist(target);
        named.map_err(|error| FileError::at("rename to", target)(error.error))?;
        Ok(())
    }
}

/// Files with what will be their names.
pub type Named = Vec<(TempFile, PathBuf)>;

/// Gives files their final names, with mode 0644. The content of all is durable before the first is renamed, and the names
/// of one group before those of the next.
///
/// Contents are made durable side by side: the file system then writes its journal for many of them at once.
pub fn persist_all<const GROUPS: usize>(mut groups: [Named; GROUPS]) -> Result<(), FileError> {
    let helpers = groups.iter().map(Vec::len).sum::<usize>().min(SETTLERS).saturating_sub(1);
    let files = Mutex::new(groups.iter_mut().flatten());
    let settle = || {
        loop {
            let next = files.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((file, _)) = next else { return Ok(()) };
            file.settle(0o644)?;
        }
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map_while(|_| thread::Builder::new().spawn_scoped(scope, settle).ok()).collect();
        let settled = settle();
        helpers.into_iter().map(|helper| helper.join().unwrap_or_else(|panic| resume_unwind(panic))).fold(settled, Result::and)
    })?;
    for group in groups {
        let mut dirs = BTreeSet::new();
        for (file, target) in group {
            file.rename(&target)?;
            dirs.insert(dir_of(&target).to_owned());
        }
        dirs.iter().try_for_each(|dir| sync_dir(dir))?;
    }
    Ok(())
}

impl Write for TempFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.as_file_mut().write(bytes)?;
        let file = self.file.as_file();
        self.early.wrote(count as u64, || file.try_clone().map(|file| move || file.sync_data()))?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// How many bytes are written before the disk is told to begin.
const EARLY_SYNC: u64 = 32 << 20;

/// How many files are made durable at the same time.
const SETTLERS: usize = 8;

/// What the name of every temporary file starts with.
pub const TEMP_PREFIX: &str = ".plugin-build-";

/// Whether an open file is still the one at a path: nobody removed or replaced it.
pub fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        match (file.metadata(), path.metadata()) {
            (Ok(held), Ok(named)) => held.dev() == named.dev() && held.ino() == named.ino(),
            _ => false,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        true
    }
}

/// Removes temporary files in `dir` that no living process holds. Each is removed while its lock is held, so that whoever
/// made it and has not locked it yet can see that it is gone.
pub fn sweep(dir: &Path) {
    for name in sorted_listing(dir).unwrap_or_default() {
        let path = dir.join(&name);
        let ours =
            name.to_string_lossy().starts_with(TEMP_PREFIX) && fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
        if let Some(file) = ours.then(|| File::open(&path).ok()).flatten()
            && file.try_lock().is_ok()
            && is_at(&file, &path)
        {
            drop(fs::remove_file(&path));
        }
    }
}

/// A whole file beside where it will be.
pub fn staged(path: PathBuf, bytes: &[u8]) -> Result<(TempFile, PathBuf), FileError> {
    let mut temp = TempFile::new_in(dir_of(&path))?;
    temp.write_all(bytes).map_err(FileError::at("write", &path))?;
    Ok((temp, path))
}

/// Writes a whole file durably and atomically, mode 0644.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    persist_all([vec![staged(path.to_owned(), bytes)?]])
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_synced_while_it_grows_is_whole_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("blob");
        let mut temp = TempFile::new_in(dir.path()).unwrap();
        let piece: Vec<u8> = (0..1 << 20).map(|at| u8::try_from(at % 253).unwrap()).collect();
        let mut early = 0;
        for _ in 0..100 {
            temp.write_all(&piece).unwrap();
            early += u64::from(temp.early.unsynced == 0);
        }
        assert!(early > 0 && temp.early.syncing.is_some(), "the disk has begun");
        persist_all([vec![(temp, target.clone())]]).unwrap();
        assert!(fs::read(&target).unwrap() == piece.repeat(100));
        assert_eq!(sorted_listing(dir.path()).unwrap(), ["blob"]);
    }
}
