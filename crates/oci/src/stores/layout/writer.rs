//! Writing a layout: content to temporary files without a lock, then everything at once under it.
//!
//! The commit holds the lock while it confirms every blob that it reuses, renames new blobs into place, moves
//! `index.json`, and removes what became unreachable. Locking only the index is not enough: a concurrent removal could
//! take a blob between "it is there" and the tag that needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::part;
use super::reach::{Reachable, reachable};
use super::{INDEX_FILE, IndexFile, LOCK_FILE, Layout, MARKER, MARKER_FILE, Source as _, StoreError};
use crate::documents::Descriptor;
use crate::fs::lock::Lock;
use crate::fs::stamps::{Hints, Stamp};
use crate::fs::{self as durable, FileError, TempFile};
use crate::interrupt::{Registration, on_interrupt};
use crate::progress::{Event, Outcome, Progress};
use crate::stores::{Commit, OpenFrom, Sink, TagChange, Unread};
use crate::values::digest::Digest;

/// What becomes of blobs that only a replaced tag reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obsolete {
    /// They stay until `gc`.
    Keep,
    /// They go with the commit: for layouts that are disposable.
    Remove,
}

/// The writing end of a layout.
pub struct LayoutWriter<'a> {
    layout: Layout,
    existing: bool,
    /// The directories that are not there yet, the layout's own first.
    absent: Vec<PathBuf>,
    _cleanup: Registration,
    obsolete: Obsolete,
    progress: &'a dyn Progress,
    hints: Option<&'a Hints>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    staged: BTreeMap<Digest, TempFile>,
    reused: BTreeMap<Digest, (Descriptor, Stamp)>,
}

impl Drop for LayoutWriter<'_> {
    /// Leaves no empty directory behind that was not there before.
    fn drop(&mut self) {
        self.pending.get_mut().unwrap_or_else(PoisonError::into_inner).staged.clear();
        remove_empty(&self.absent);
    }
}

/// Removes directories as far as nothing is in them.
fn remove_empty(dirs: &[PathBuf]) {
    let _ = dirs.iter().try_for_each(fs::remove_dir);
}

impl<'a> LayoutWriter<'a> {
    /// Prepares to write the layout at `dir`. A directory that has other things in it than a layout is refused; nothing is
    /// made or changed yet.
    pub fn new(dir: &Path, obsolete: Obsolete, progress: &'a dyn Progress) -> Result<Self, StoreError> {
        let existing = Layout::open_existing(dir)?;
        let layout = Layout::at(dir);
        let absent: Vec<PathBuf> = dir.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
        let doomed = absent.clone();
        let cleanup = on_interrupt(move || remove_empty(&doomed));
        Ok(Self {
            existing: existing.is_some(),
            absent,
            _cleanup: cleanup,
            layout,
            obsolete,
            progress,
            hints: None,
            pending: Mutex::default(),
        })
    }

    /// Takes blobs as sound that these facts vouch for, and keeps facts about those that it hashes.
    #[must_use]
    pub fn with_hints(mut self, hints: &'a Hints) -> Self {
        self.hints = Some(hints);
        self
    }

    /// The layout as it is now, if there is one.
    pub fn existing(&self) -> Option<&Layout> {
        self.existing.then_some(&self.layout)
    }

    /// A temporary file in the layout's file system, for content that [`Sink::adopt`] will take.
    pub fn temp(&self) -> Result<TempFile, StoreError> {
        loop {
            durable::create_dirs(self.layout.dir())?;
            match TempFile::new_in(self.layout.dir()) {
                // Another writer has failed, and removed the directory while it was empty.
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
                made => return Ok(made?),
            }
        }
    }

    /// Removes a tag, and with it what nothing reaches any more.
    pub fn remove_tag(&self, tag: &str) -> Result<Digest, StoreError> {
        self.remove(tag, &format!("tag `{tag}`"), |entry| entry.ref_name() == Some(tag))
    }

    /// Removes an image or attachment under all its tags, and with it what nothing reaches any more.
    pub fn remove_digest(&self, digest: &Digest) -> Result<(), StoreError> {
        let wanted = digest.to_string();
        self.remove(&wanted, &wanted, |entry| entry.digest == *digest).map(drop)
    }

    /// Removes entries of the index, called `wanted` among the tags and `what` in a sentence, and what only they reached; the
    /// digest of the first.
    fn remove(&self, wanted: &str, what: &str, is_meant: impl Fn(&Descriptor) -> bool) -> Result<Digest, StoreError> {
        let _lock = self.lock()?;
        let mut index = self.layout.index()?;
        let meant: Vec<Descriptor> = index.entries()?.into_iter().filter(is_meant).collect();
        let Some(first) = meant.first().map(|entry| entry.digest.clone()) else {
            let available = index.tags()?.into_iter().map(|tagged| tagged.tag).collect();
            return Err(StoreError::NotFound { store: self.layout.name(), wanted: wanted.to_owned(), available });
        };
        let mut candidates = Reachable::default();
        for entry in &meant {
            if let Err(error) = candidates.follow(&self.layout, entry, 0) {
                // What is damaged is what one wants to be rid of.
                self.progress.caution(&Unread { what: what.to_owned(), error });
            }
            match entry.ref_name() {
                Some(tag) => drop(index.remove_tag(tag)),
                None => index.remove_untagged(&entry.digest),
            }
        }
        self.write_index_and_sweep(index, candidates.digests)?;
        Ok(first)
    }

    /// Removes every blob that no entry reaches, and returns what was removed with its size.
    pub fn collect_garbage(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let _lock = self.lock()?;
        durable::sweep(self.layout.dir());
        let index = self.layout.index()?;
        let candidates = self.layout.blobs()?.into_iter().collect();
        self.write_index_and_sweep(index, candidates)
    }

    fn lock(&self) -> Result<Lock, StoreError> {
        let waiting = || self.progress.status("Blocking", format!("waiting for the lock on {}", self.layout.dir().display()));
        Ok(Lock::exclusive(&self.layout.dir().join(LOCK_FILE), waiting)?)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self, descriptor: &Descriptor, staged: TempFile) -> Outcome {
        self.pending().staged.insert(descriptor.digest.clone(), staged);
        Outcome::Copied
    }

    /// Writes `index` if it differs from the disk's, then removes those candidates that it does not reach.
    fn write_index_and_sweep(
        &self,
        mut index: IndexFile,
        mut candidates: BTreeSet<Digest>,
    ) -> Result<Vec<(Digest, u64)>, StoreError> {
        self.layout.check_blob_dirs()?;
        let on_disk = self.layout.index()?;
        let mut reach = reachable(&self.layout, &index)?;
        loop {
            let leaves = |entry: &Descriptor| match entry.ref_name() {
                None => reach.orphaned.contains(&entry.digest),
                Some(_) => reach.attached.iter().any(|(attached, subject)| {
                    *attached == entry.digest && candidates.contains(subject) && !reach.digests.contains(subject)
                }),
            };
            let leaving: Vec<Descriptor> = index.entries()?.into_iter().filter(leaves).collect();
            if leaving.is_empty() {
                break;
            }
            let mut gone = Reachable::default();
            for entry in &leaving {
                gone.follow(&self.layout, entry, 0)?;
                match entry.ref_name() {
                    Some(tag) => drop(index.remove_tag(tag)),
                    None => index.remove_untagged(&entry.digest),
                }
            }
            candidates.append(&mut gone.digests);
            reach = reachable(&self.layout, &index)?;
        }
        if index != on_disk {
            self.place(BTreeMap::new(), &[(INDEX_FILE, &index.to_bytes())])?;
        }
        let mut removed = Vec::new();
        for digest in candidates.difference(&reach.digests) {
            let path = self.layout.blob_path(digest);
            let size = fs::symlink_metadata(&path).map_or(0, |found| found.len());
            match fs::remove_file(&path) {
                Ok(()) => {
                    self.progress.event(Event::Removed { path: path.display().to_string() });
                    removed.push((digest.clone(), size));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(FileError::at("remove", &path)(error).into()),
            }
        }
        Ok(removed)
    }

    /// Under the lock: every blob that is reused is still there and still what was hashed.
    fn confirm_reused(&self, reused: &BTreeMap<Digest, (Descriptor, Stamp)>) -> Result<(), StoreError> {
        for (digest, (descriptor, stamp)) in reused {
            let now = Stamp::of(&self.layout.blob_path(digest));
            if now != Some(*stamp) && !self.layout.is_sound(descriptor)? {
                return Err(StoreError::Vanished { store: self.layout.name(), digest: digest.to_string() });
            }
        }
        Ok(())
    }

    /// Places the blobs, and after them the files at the top of the layout.
    fn place(&self, staged: BTreeMap<Digest, TempFile>, top: &[(&str, &[u8])]) -> Result<(), StoreError> {
        let place = |(digest, temp)| (temp, self.layout.blob_path(&digest));
        let blobs: durable::Named = staged.into_iter().map(place).collect();
        let dirs: BTreeSet<&Path> = blobs.iter().filter_map(|(_, target)| target.parent()).collect();
        dirs.into_iter().try_for_each(durable::create_dirs)?;
        let stage = |(name, bytes): &(&str, &[u8])| durable::staged(self.layout.dir().join(name), bytes);
        let files = top.iter().map(stage).collect::<Result<durable::Named, _>>()?;
        let written: Vec<PathBuf> = blobs.iter().chain(&files).map(|(_, target)| target.clone()).collect();
        durable::persist_all([blobs, files])?;
        for path in written {
            self.progress.event(Event::Wrote { path: path.display().to_string() });
        }
        Ok(())
    }
}

impl Sink for LayoutWriter<'_> {
    fn name(&self) -> String {
        self.layout.name()
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        if self.pending().staged.contains_key(&descriptor.digest) {
            return Ok(true);
        }
        let Some(stamp) = Stamp::of(&self.layout.blob_path(&descriptor.digest)) else { return Ok(false) };
        if self.pending().reused.get(&descriptor.digest).is_some_and(|(_, known)| *known == stamp) {
            return Ok(true);
        }
        let fact = descriptor.size.to_string();
        let key = format!("blob {} {}", descriptor.digest, stamp.line());
        let vouched = self.hints.is_some_and(|hints| hints.recall(&key) == Some(&fact));
        let sound = vouched || self.layout.is_sound(descriptor)?;
        if sound {
            if let Some(hints) = self.hints {
                hints.remember(&key, &fact, [&stamp]);
            }
            self.pending().reused.insert(descriptor.digest.clone(), (descriptor.clone(), stamp));
        }
        Ok(sound)
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut (dyn Read + Send)) -> Result<Outcome, StoreError> {
        let mut temp = self.temp()?;
        crate::stores::write_blob(descriptor, content, &mut temp)?;
        Ok(self.stage(descriptor, temp))
    }

    fn put_onward(&self, descriptor: &Descriptor, open: &OpenFrom<'_>) -> Result<Option<Outcome>, StoreError> {
        let dir = self.layout.dir();
        durable::create_dirs(dir)?;
        match part::arrive(dir, descriptor, open) {
            Ok(arrived) => Ok(arrived.map(|file| self.stage(descriptor, file))),
            Err(error) => {
                if let Some(kept) = part::kept(dir, descriptor) {
                    let text = format!("{kept} of {} bytes are kept, and the same command goes on from there", descriptor.size);
                    self.progress.event(Event::Note { text });
                }
                Err(error)
            }
        }
    }

    fn put_manifest(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<Outcome, StoreError> {
        if self.contains(descriptor)? {
            return Ok(Outcome::Present);
        }
        self.put_blob(descriptor, &mut &*bytes)
    }

    fn adopt(&self, descriptor: &Descriptor, staged: TempFile) -> Result<Outcome, StoreError> {
        if staged.path().parent() != Some(self.layout.dir()) {
            let file = staged.reopen()?;
            return self.put_blob(descriptor, &mut crate::stores::Verified::new(file, descriptor));
        }
        if self.contains(descriptor)? {
            return Ok(Outcome::Present);
        }
        Ok(self.stage(descriptor, staged))
    }

    fn parallelism(&self) -> usize {
        std::thread::available_parallelism().map_or(2, usize::from).min(4)
    }

    fn commit(&self, commit: &Commit) -> Result<Vec<TagChange>, StoreError> {
        durable::create_dirs(self.layout.dir())?;
        let _lock = self.lock()?;
        let existing = Layout::open_existing(self.layout.dir())?.is_some();
        let before = if existing { self.layout.index()? } else { IndexFile::empty(self.layout.dir()) };
        let mut index = before.clone();
        let changes = change_tags(&mut index, commit, &self.layout.name())?;
        let bytes = index.to_file()?;
        let mut replaced = Reachable::default();
        if self.obsolete == Obsolete::Remove {
            let moved = |old: &Descriptor| old.ref_name().is_some_and(|tag| changes.iter().any(|change| &*change.tag == tag));
            for old in before.entries()?.iter().filter(|old| moved(old) || commit.replaced.contains(&old.digest)) {
                // What cannot be read any more cannot be followed; `gc` will say so, a build need not fail for it.
                drop(replaced.follow(&self.layout, old, 0));
            }
        }
        let Pending { staged, reused } = std::mem::take(&mut *self.pending());
        self.confirm_reused(&reused)?;
        durable::sweep(self.layout.dir());
        match (existing, index == before) {
            (false, _) => self.place(staged, &[(MARKER_FILE, MARKER), (INDEX_FILE, &bytes)])?,
            (true, false) => self.place(staged, &[(INDEX_FILE, &bytes)])?,
            (true, true) => self.place(staged, &[])?,
        }
        if !replaced.digests.is_empty() {
            self.write_index_and_sweep(index, replaced.digests)?;
        }
        Ok(changes)
    }
}

/// Edits an index as a commit says. The returned changes are those of tags.
pub(in crate::stores) fn change_tags(index: &mut IndexFile, commit: &Commit, store: &str) -> Result<Vec<TagChange>, StoreError> {
    let old_tags = index.tags()?;
    let mut changes = Vec::new();
    for tagged in &commit.tags {
        let old = old_tags.iter().find(|old| old.tag == tagged.tag).map(|old| old.root.digest.clone());
        match old {
            Some(old) if old == tagged.root.digest => {}
            Some(old) if commit.no_clobber => {
                return Err(StoreError::Clobber { store: store.to_owned(), tag: tagged.tag.clone(), old: old.to_string() });
            }
            old => {
                index.set_tag(&tagged.tag, &tagged.root);
                changes.push(TagChange { tag: tagged.tag.clone(), old, new: tagged.root.digest.clone() });
            }
        }
    }
    for root in &commit.untagged {
        index.add_untagged(root);
    }
    for digest in &commit.replaced {
        index.remove_untagged(digest);
    }
    for referrer in &commit.referrers {
        index.add_referrer(&referrer.descriptor);
    }
    Ok(changes)
}
