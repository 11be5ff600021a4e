//! What need not be hashed again: facts about files that hold as long as the files look as they did.
//!
//! A file's [`Stamp`] is device, inode, size, modification and change time. A fact that was found by reading a file is kept
//! with its stamp, and holds while the stamp is the same, under the rule by which git's index trusts one:
//!
//! - The stamp is taken *before* the file is read.
//! - A file whose modification or change time is less than two seconds older than that moment is *racy*: it could change
//!   once more within the clock's tick and look the same. Its fact is not kept, so it is read again next time. Two seconds
//!   are the coarsest tick of a file system in use (FAT); who changes none meanwhile may say less by [`VARIABLE`].
//! - The moment is the file system's own clock, read off a file made for it; the machine's may differ.
//!
//! Setting back a modification time does not fool it: that moves the change time. What it cannot see is a disk written to
//! behind the file system's back; `verify` reads everything, always.
//!
//! The file with the facts is disposable. It lies in the target directory; without it, or with a broken one, everything is
//! read again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::documents::json;
use crate::environment::Environment;
use crate::fs::{create_dirs, write_atomically};
use crate::values::digest::Hasher;

/// Where files of facts lie below the target directory.
pub const DIRECTORY: &str = "plugin-build/.hints";

/// Seconds for which a fresh file is racy, unless [`VARIABLE`] says otherwise.
const RACY: i64 = 2;

/// The variable that sets the seconds for which a fresh file is racy: -1 is for who changes no file while a build runs, such
/// as a test.
pub const VARIABLE: &str = "CARGO_PLUGIN_BUILD_RACY_SECONDS";

/// What a file looks like without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a regular file; `None` for anything else, and where the system tells too little.
    pub fn of(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Some(Self {
                device: found.dev(),
                inode: found.ino(),
                size: found.size(),
                modified: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
            })
        }
        #[cfg(not(unix))]
        {
            let _ = found;
            None
        }
    }

    /// One line that is the same for the same stamp.
    pub fn line(&self) -> String {
        let Self { device, inode, size, modified, changed } = self;
        format!("{device}:{inode}:{size}:{}.{:09}:{}.{:09}", modified.0, modified.1, changed.0, changed.1)
    }

    fn is_settled(&self, moment: i64) -> bool {
        self.modified.0 < moment && self.changed.0 < moment
    }
}

/// Facts by key, from the last run and for the next.
#[derive(Debug)]
pub struct Hints {
    file: PathBuf,
    /// Before which a file must have changed last for its fact to be kept.
    settled: Option<i64>,
    known: BTreeMap<String, String>,
    kept: Mutex<BTreeMap<String, String>>,
}

impl Hints {
    /// Reads the facts that lie at `file`, and the clock of its file system; [`VARIABLE`] in `env` is for who cannot wait. Makes no
    /// directory, and nothing here fails: without facts, all is read.
    pub fn open(file: &Path, env: &Environment) -> Self {
        let racy = env.text(VARIABLE).and_then(|seconds| seconds.parse().ok()).unwrap_or(RACY);
        let known = fs::read(file).ok().and_then(|bytes| json::parse_as(&bytes).ok()).unwrap_or_default();
        let moment = file.ancestors().skip(1).find(|dir| dir.is_dir()).and_then(clock_of);
        Self { file: file.to_owned(), settled: moment.map(|moment| moment - racy), known, kept: Mutex::default() }
    }

    /// The fact under a key, which stays for the next run.
    pub fn recall(&self, key: &str) -> Option<&str> {
        let fact = self.known.get(key)?;
        self.kept().insert(key.to_owned(), fact.clone());
        Some(fact)
    }

    /// Keeps a fact that was found by reading files with these stamps, taken before, unless one of them is racy.
    pub fn remember<'a>(&self, key: &str, fact: &str, stamps: impl IntoIterator<Item = &'a Stamp>) {
        if let Some(settled) = self.settled
            && stamps.into_iter().all(|stamp| stamp.is_settled(settled))
        {
            self.kept().insert(key.to_owned(), fact.to_owned());
        }
    }

    /// What was found before under a fingerprint, or what is found now by reading the files behind it. `parse` reads a kept
    /// fact; `show` writes one, or says that this one is not to be kept.
    pub fn known_or<T, E>(
        &self,
        fingerprint: Fingerprint,
        parse: impl FnOnce(&str) -> Option<T>,
        find: impl FnOnce() -> Result<T, E>,
        show: impl FnOnce(&T) -> Option<String>,
    ) -> Result<T, E> {
        let Fingerprint { hasher, stamps, is_partial } = fingerprint;
        if is_partial {
            return find();
        }
        let key = hasher.finish().to_string();
        if let Some(known) = self.recall(&key).and_then(parse) {
            return Ok(known);
        }
        let found = find()?;
        if let Some(fact) = show(&found) {
            self.remember(&key, &fact, &stamps);
        }
        Ok(found)
    }

    /// Whether something certainly looks other than when it was seen last; `name` is what it is called. Where it was never seen,
    /// or cannot be looked at, that is not certain.
    pub fn has_changed(&self, name: &str, fingerprint: &Fingerprint) -> bool {
        if fingerprint.is_partial {
            return false;
        }
        let (key, look) = (format!("look of {name}"), fingerprint.hasher.clone().finish().to_string());
        let has_changed = self.known.get(&key).is_some_and(|last| *last != look);
        self.kept().insert(key, look);
        has_changed
    }

    /// Writes the facts that were recalled or remembered, if they are others than were read.
    pub fn save(&self) {
        let kept = self.kept();
        if *kept != self.known
            && let Some(dir) = self.file.parent()
            && create_dirs(dir).is_ok()
            && let Ok(bytes) = json::serialize(&*kept)
        {
            drop(write_atomically(&self.file, &bytes));
        }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file system's own idea of now.
fn clock_of(dir: &Path) -> Option<i64> {
    let probe = tempfile::tempfile_in(dir).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        probe.metadata().ok().map(|found| found.mtime())
    }
    #[cfg(not(unix))]
    {
        let _ = probe;
        None
    }
}

/// A key over many files: their names and stamps in order.
#[derive(Default)]
pub struct Fingerprint {
    hasher: Hasher,
    stamps: Vec<Stamp>,
    is_partial: bool,
}

impl Fingerprint {
    /// Adds something that is not a file.
    pub fn text(&mut self, text: &str) {
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text.as_bytes());
    }

    /// Adds a file.
    pub fn file(&mut self, path: &Path) {
        match Stamp::of(path) {
            Some(stamp) => {
                self.text(&stamp.line());
                self.stamps.push(stamp);
            }
            None => self.unknown(),
        }
    }

    /// Adds something that has no stamp: nothing is known by this key.
    pub fn unknown(&mut self) {
        self.is_partial = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aged(path: &Path, seconds: i64) -> Stamp {
        let stamp = Stamp::of(path).unwrap();
        Stamp { modified: (stamp.modified.0 - seconds, 0), changed: (stamp.changed.0 - seconds, 0), ..stamp }
    }

    #[test]
    fn a_fact_about_a_fresh_file_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (file, facts) = (dir.path().join("f"), dir.path().join("cache/facts.json"));
        fs::write(&file, "content").unwrap();
        let hints = Hints::open(&facts, &Environment::default());
        hints.remember("fresh", "1", [&Stamp::of(&file).unwrap()]);
        hints.remember("old", "2", [&aged(&file, 10)]);
        hints.remember("mixed", "3", [&aged(&file, 10), &aged(&file, 1)]);
        hints.save();
        let hints = Hints::open(&facts, &Environment::default());
        assert_eq!((hints.recall("fresh"), hints.recall("old"), hints.recall("mixed")), (None, Some("2"), None));
    }

    #[test]
    fn a_broken_file_of_facts_is_no_facts() {
        let dir = tempfile::tempdir().unwrap();
        let facts = dir.path().join("facts.json");
        fs::write(&facts, "{\"a\":").unwrap();
        assert_eq!(Hints::open(&facts, &Environment::default()).recall("a"), None);
    }

    #[test]
    fn an_unused_fact_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let facts = dir.path().join("facts.json");
        fs::write(&facts, r#"{"a":"1","b":"2"}"#).unwrap();
        let hints = Hints::open(&facts, &Environment::default());
        assert_eq!(hints.recall("b"), Some("2"));
        hints.save();
        assert_eq!(fs::read_to_string(&facts).unwrap(), r#"{"b":"2"}"#);
    }
}
