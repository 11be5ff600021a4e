//! The one movement of blobs: build, push, pull, export and import are all [`copy`].
//!
//! Order: blobs, then the manifests that need them, then indexes, then referrers after their subject; tags last, in one
//! commit of the sink. Bytes are never re-serialised. A failure before the commit leaves every tag of the sink as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::referrers::attached_tag;
use super::{Commit, Held, Referrer, Sink, Source, StoreError, TagChange, Tagged, Verified, read_document};
use crate::documents::{Descriptor, Document, REF_NAME};
use crate::progress::{Event, Outcome, Progress};
use crate::values::digest::Digest;
use crate::values::tag::Tag;

/// What to copy besides the root, and how.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// Carry the manifests that refer to what is copied.
    pub referrers: bool,
    /// Referrers that are not carried even so.
    pub strangers: BTreeSet<Digest>,
    /// The type of referrers that are not carried either.
    pub without: Option<&'static str>,
    /// The tags that the root gets at the sink.
    pub tags: Vec<Tag>,
    /// Refuse to move a tag.
    pub no_clobber: bool,
    /// Blobs that the other side has: they are left out (a delta).
    pub have: BTreeSet<Digest>,
    /// Referrers without a tag that a layout or archive no longer has afterwards.
    pub replaced: BTreeSet<Digest>,
    /// `Copying`, `Pushing`, `Writing`: for progress.
    pub verb: &'static str,
}

impl Default for CopyOptions {
    fn default() -> Self {
        let (strangers, tags, have, replaced) = (BTreeSet::new(), Vec::new(), BTreeSet::new(), BTreeSet::new());
        Self { referrers: true, strangers, without: None, tags, no_clobber: false, have, replaced, verb: "Copying" }
    }
}

/// What a copy did.
#[derive(Clone, Debug, Default)]
pub struct CopyReport {
    /// Blobs and manifests by outcome, keyed by digest.
    pub outcomes: BTreeMap<Digest, Outcome>,
    /// Bytes that were written or sent.
    pub bytes: u64,
    /// How tags changed.
    pub tags: Vec<TagChange>,
}

/// Copies everything that `root` reaches from `source` to `sink` and commits it there.
pub fn copy(
    source: &dyn Source,
    sink: &dyn Sink,
    root: &Descriptor,
    options: &CopyOptions,
    progress: &dyn Progress,
) -> Result<CopyReport, StoreError> {
    let mut movement = Movement::new(source, sink, options, progress);
    movement.stage(root)?;
    movement.commit(std::slice::from_ref(root))
}

/// A copy in steps: several roots staged, then one commit.
pub struct Movement<'a> {
    source: &'a dyn Source,
    sink: &'a dyn Sink,
    options: &'a CopyOptions,
    progress: &'a dyn Progress,
    referrers: Vec<Referrer>,
    report: CopyReport,
}

impl<'a> Movement<'a> {
    /// Starts a movement in which nothing has moved.
    pub fn new(source: &'a dyn Source, sink: &'a dyn Sink, options: &'a CopyOptions, progress: &'a dyn Progress) -> Self {
        Self { source, sink, options, progress, referrers: Vec::new(), report: CopyReport::default() }
    }

    /// Brings everything that `root` reaches to the sink, without a tag.
    pub fn stage(&mut self, root: &Descriptor) -> Result<(), StoreError> {
        let mut walk = Walk::default();
        walk.add(self.source, root, 0)?;
        if let Some((_, bytes)) = walk.manifests.last()
            && let Some(subject) = Document::parse(bytes, &root.media_type).ok().as_ref().and_then(Document::subject)
        {
            let mut descriptor = root.clone();
            descriptor.annotations.remove(REF_NAME);
            self.refer(Referrer { descriptor, subject: subject.digest.clone() });
        }
        if self.options.referrers {
            let mut next = 0;
            while let Some(manifest) = walk.manifests.get(next).map(|(descriptor, _)| descriptor.digest.clone()) {
                for found in self.source.referrers(&manifest)? {
                    let without = self.options.without;
                    if self.options.strangers.contains(&found.digest)
                        || without.is_some() && found.artifact_type.as_deref() == without
                    {
                        continue;
                    }
                    match walk.add(self.source, &found, 0) {
                        Ok(()) => {}
                        // Lists of referrers outlive what they list, above all those by tag.
                        Err(StoreError::MissingBlob { .. }) => {
                            let text = format!("{} refers to {manifest} but is gone: it is left behind", found.digest);
                            self.progress.warn(text, None);
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                    self.refer(Referrer { descriptor: found, subject: manifest.clone() });
                }
                next += 1;
            }
        }
        self.move_blobs(&walk.blobs.into_values().collect::<Vec<_>>())?;
        // Never left out of a delta: they are small, and say what the blobs are for.
        for (descriptor, bytes) in &walk.manifests {
            let outcome = self.sink.put_manifest(descriptor, bytes)?;
            self.record(&descriptor.digest, outcome, descriptor.size);
        }
        Ok(())
    }

    /// Sets the tags of the options on the (last) root and makes everything visible.
    pub fn commit(self, roots: &[Descriptor]) -> Result<CopyReport, StoreError> {
        let tagged = |root: &Descriptor| {
            let root = root.clone();
            self.options.tags.iter().map(move |tag| Tagged { tag: tag.to_string(), root: root.clone() }).collect::<Vec<_>>()
        };
        let tags = roots.iter().flat_map(tagged).collect();
        self.commit_tags(tags, Vec::new())
    }

    /// Sets these tags, keeps these roots without one, and makes everything visible.
    pub fn commit_tags(mut self, tags: Vec<Tagged>, untagged: Vec<Descriptor>) -> Result<CopyReport, StoreError> {
        let mut referrers = std::mem::take(&mut self.referrers);
        // What is looked for by its own tag has it before the image can be seen.
        let mut all = Vec::new();
        for Referrer { descriptor, subject } in &mut referrers {
            if let Some(tag) = attached_tag(descriptor, subject).map(str::to_owned) {
                all.push(Tagged { tag, root: descriptor.clone() });
            }
            descriptor.annotations.remove(REF_NAME);
        }
        all.extend(tags);
        let (replaced, no_clobber) = (self.options.replaced.clone(), self.options.no_clobber);
        let commit = Commit { tags: all, untagged, referrers, replaced, no_clobber };
        self.report.tags = self.sink.commit(&commit)?;
        for change in &self.report.tags {
            let TagChange { tag, old, new } = change.clone();
            self.progress.event(Event::TagMoved { tag, old, new });
        }
        Ok(self.report)
    }

    fn refer(&mut self, referrer: Referrer) {
        if !self.referrers.contains(&referrer) {
            self.referrers.push(referrer);
        }
    }

    fn record(&mut self, digest: &Digest, outcome: Outcome, bytes: u64) {
        if outcome == Outcome::Copied {
            self.report.bytes += bytes;
        }
        // What several images share is there already for all but the first.
        self.report.outcomes.entry(digest.clone()).or_insert(outcome);
    }

    fn move_blobs(&mut self, blobs: &[Descriptor]) -> Result<(), StoreError> {
        let workers = self.sink.parallelism().max(self.source.parallelism()).clamp(1, blobs.len().max(1));
        let queue = Mutex::new(blobs.iter());
        let done = Mutex::new(Vec::new());
        let failed = AtomicBool::new(false);
        let this = &*self;
        let work = || -> Result<(), StoreError> {
            loop {
                let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                let Some(blob) = next else { return Ok(()) };
                if failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                match this.move_blob(blob) {
                    Ok(outcome) => done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((
                        blob.digest.clone(),
                        outcome,
                        blob.size,
                    )),
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let joined = others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.fold(mine, Result::and)
        })?;
        for (digest, outcome, bytes) in done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            self.record(&digest, outcome, bytes);
        }
        Ok(())
    }

    fn move_blob(&self, blob: &Descriptor) -> Result<Outcome, StoreError> {
        let key = blob.digest.to_string();
        let outcome = self.bring(blob, &key)?;
        self.progress.event(Event::BlobFinished { blob: key, outcome, bytes: blob.size });
        Ok(outcome)
    }

    fn bring(&self, blob: &Descriptor, key: &str) -> Result<Outcome, StoreError> {
        if self.options.have.contains(&blob.digest) {
            return Ok(Outcome::LeftOut);
        }
        if let Some(staged) = self.source.take_staged(&blob.digest) {
            return self.sink.adopt(blob, staged);
        }
        if self.sink.contains(blob)? {
            return Ok(Outcome::Present);
        }
        if let Some(from) = self.source.repository()
            && self.sink.mount(blob, &from)?
        {
            return Ok(Outcome::Mounted);
        }
        let (verb, total) = (self.options.verb, Some(blob.size));
        self.progress.event(Event::BlobStarted { blob: key.to_owned(), verb, total });
        let furthest = AtomicU64::new(0);
        let metered = |inner, position| Metered { inner, blob: key, progress: self.progress, position, furthest: &furthest };
        if blob.data.is_none() && self.source.resumes() {
            let open_from = |offset| -> Result<Option<Box<dyn Read + Send + '_>>, StoreError> {
                let inner = self.source.open_from(blob, offset)?;
                Ok(inner.map(|inner| Box::new(metered(inner, offset)) as Box<dyn Read + Send + '_>))
            };
            let put = self.sink.put_onward(blob, &open_from).map_err(|error| error.from_source(&self.source.name()))?;
            if let Some(outcome) = put {
                return Ok(outcome);
            }
        }
        let open = || -> Result<Box<dyn Read + Send + '_>, StoreError> {
            let inner: Box<dyn Read + Send + '_> = match &blob.data {
                Some(data) => Box::new(data.as_slice()),
                None => self.source.open(blob)?,
            };
            Ok(Box::new(Verified::new(metered(inner, 0), blob)))
        };
        self.sink.put_again(blob, &open).map_err(|error| error.from_source(&self.source.name()))
    }
}

/// What a root reaches: blobs by digest, and manifests with their bytes, children before parents.
#[derive(Default)]
struct Walk {
    seen: BTreeSet<Digest>,
    blobs: BTreeMap<Digest, Descriptor>,
    manifests: Vec<(Descriptor, Vec<u8>)>,
    held: Held,
}

impl Walk {
    fn add(&mut self, source: &dyn Source, at: &Descriptor, depth: usize) -> Result<(), StoreError> {
        if depth > crate::documents::NESTING_LIMIT {
            return Err(StoreError::TooDeep { object: at.digest.to_string() });
        }
        if !at.is_manifest_or_index() {
            self.blobs.entry(at.digest.clone()).or_insert_with(|| at.clone());
            return Ok(());
        }
        if !self.seen.insert(at.digest.clone()) {
            return Ok(());
        }
        self.held.add(at)?;
        let (document, bytes) = read_document(source, at)?;
        let nested = matches!(document, Document::Index(_));
        for child in document.children() {
            if nested {
                self.add(source, child, depth + 1)?;
            } else {
                // What a manifest points at is a blob, whatever media type it claims.
                self.blobs.entry(child.digest.clone()).or_insert_with(|| child.clone());
            }
        }
        self.manifests.push((at.clone(), bytes));
        Ok(())
    }
}

struct Metered<'a, R> {
    inner: R,
    blob: &'a str,
    progress: &'a dyn Progress,
    position: u64,
    /// What is read again after a break is no progress.
    furthest: &'a AtomicU64,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position += count as u64;
        let before = self.furthest.fetch_max(self.position, Ordering::Relaxed);
        if self.position > before {
            self.progress.event(Event::BlobAdvanced { blob: self.blob.to_owned(), bytes: self.position - before });
        }
        Ok(count)
    }
}
