//! Waits for a change among a workspace's sources.
//!
//! The system's events only say when to look: whether something changed is seen by comparing the files with what they were,
//! so that no event can be missed for good, and none that changes nothing (a file that is read, an editor's backup) matters.
//! What git ignores is not looked at, nor what a `CACHEDIR.TAG` says can be made again, as cargo's target directories can.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use ignore::WalkBuilder;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use plugin_oci::failure::{Class, Failure};
use plugin_oci::fs::stamps::Stamp;

/// How long nothing must happen before a change counts as over: editors write in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// How long to wait for that at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// A workspace under watch.
pub struct Sources {
    root: PathBuf,
    excluded: BTreeSet<PathBuf>,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    events: Receiver<()>,
    stirred: bool,
    seen: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Sources {
    /// Begins to watch all below `root` except some directories and files, which are absolute.
    pub fn open(root: &Path, excluded: impl IntoIterator<Item = PathBuf>) -> Result<Self, SourcesError> {
        let (send, events) = mpsc::channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error is a reason to look, too; the reader is gone only when the program ends.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = send.send(());
            }
        });
        let watcher = watcher.map_err(|source| SourcesError::Watch { path: root.to_owned(), source })?;
        // The system names files by what links lead to.
        let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
        let mut sources = Self {
            root: real(root.to_owned()),
            excluded: excluded.into_iter().map(real).collect(),
            watcher,
            watched: BTreeSet::new(),
            events,
            stirred: false,
            seen: BTreeMap::new(),
        };
        sources.seen = sources.survey()?;
        Ok(sources)
    }

    /// Whether something may have changed since.
    pub fn stirred(&mut self) -> bool {
        self.stirred |= self.events.try_recv().is_ok();
        self.stirred
    }

    /// Waits for a change to begin and end; what changed, relative to the root.
    pub fn wait(&mut self) -> Result<Vec<PathBuf>, SourcesError> {
        loop {
            if !self.stirred && self.events.recv().is_err() {
                return Err(SourcesError::Ended);
            }
            let start = Instant::now();
            while start.elapsed() < PATIENCE && self.events.recv_timeout(QUIET).is_ok() {}
            self.stirred = false;
            let now = self.survey()?;
            let changed = self.differing(&now);
            self.seen = now;
            if !changed.is_empty() {
                return Ok(changed);
            }
        }
    }

    /// Takes these files as they are now: what changed them is no reason for another build.
    pub fn accept(&mut self, paths: &[PathBuf]) {
        for path in paths {
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            let stamp = Stamp::of(&path);
            self.seen.insert(path, stamp);
        }
    }

    fn differing(&self, now: &BTreeMap<PathBuf, Option<Stamp>>) -> Vec<PathBuf> {
        let all: BTreeSet<&PathBuf> = self.seen.keys().chain(now.keys()).collect();
        let differs = |path: &&PathBuf| self.seen.get(*path) != now.get(*path);
        let relative = |path: &PathBuf| path.strip_prefix(&self.root).unwrap_or(path).to_owned();
        all.into_iter().filter(differs).map(relative).collect()
    }

    /// Every file; directories that are new come under watch, and are then looked at again.
    fn survey(&mut self) -> Result<BTreeMap<PathBuf, Option<Stamp>>, SourcesError> {
        loop {
            let (files, dirs) = self.listed();
            let fresh: Vec<_> = dirs.difference(&self.watched).cloned().collect();
            for path in &fresh {
                match self.watcher.watch(path, RecursiveMode::NonRecursive) {
                    // It is gone already, which is an event of its parent's.
                    Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) || !path.exists() => {}
                    result => result.map_err(|source| SourcesError::Watch { path: path.clone(), source })?,
                }
            }
            // The system forgets directories that are gone; one that comes back is new.
            self.watched = dirs;
            if fresh.is_empty() {
                return Ok(files);
            }
        }
    }

    fn listed(&self) -> (BTreeMap<PathBuf, Option<Stamp>>, BTreeSet<PathBuf>) {
        let excluded = self.excluded.clone();
        let wanted = move |entry: &ignore::DirEntry| {
            let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
            let skipped = is_dir && (entry.file_name() == ".git" || entry.path().join("CACHEDIR.TAG").is_file());
            !skipped && !excluded.contains(entry.path())
        };
        let walk = WalkBuilder::new(&self.root).hidden(false).require_git(false).filter_entry(wanted).build();
        let (mut files, mut dirs) = (BTreeMap::new(), BTreeSet::new());
        // What cannot be read, cargo will name.
        for entry in walk.filter_map(Result::ok) {
            if entry.file_type().is_some_and(|kind| kind.is_dir()) {
                dirs.insert(entry.into_path());
            } else {
                let stamp = Stamp::of(entry.path());
                files.insert(entry.into_path(), stamp);
            }
        }
        (files, dirs)
    }
}

/// Why there is nothing to wait for.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// The system watches no more.
    #[error("cannot watch `{}`", path.display())]
    Watch { path: PathBuf, source: notify::Error },
    /// The watch ended by itself.
    #[error("the system's watch of files ended")]
    Ended,
}

impl Failure for SourcesError {
    fn class(&self) -> Class {
        Class::Failed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(dir: &Path, path: &str, text: &str) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn changes_are_told_and_what_is_ignored_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for path in ["src/main.rs", "out/a", "installed/a", "made/CACHEDIR.TAG", ".cargo/config.toml", ".git/index"] {
            write(dir, path, "1");
        }
        write(dir, ".gitignore", "/out\n*.log\n");
        let mut sources = Sources::open(dir, [dir.join("installed")]).unwrap();
        for path in ["out/a", "out/b/c", "installed/a", "made/x", ".git/index", "src/x.log"] {
            write(dir, path, "22");
        }
        write(dir, "src/main.rs", "22");
        write(dir, "src/new/deep/mod.rs", "1");
        assert_eq!(sources.wait().unwrap(), ["src/main.rs", "src/new/deep/mod.rs"].map(PathBuf::from));
        write(dir, "src/new/deep/mod.rs", "22");
        fs::remove_file(dir.join(".cargo/config.toml")).unwrap();
        assert_eq!(sources.wait().unwrap(), [".cargo/config.toml", "src/new/deep/mod.rs"].map(PathBuf::from));
        write(dir, "Cargo.lock", "made by the build");
        sources.accept(&[dir.join("Cargo.lock")]);
        write(dir, "src/main.rs", "333");
        assert_eq!(sources.wait().unwrap(), ["src/main.rs"].map(PathBuf::from));
    }
}
