//! The entries of two layers.
//!
//! The first pass over each layer keeps 32 bytes an entry: keyed hashes of its path and of all its facts, content
//! included. Only for the paths whose hashes have no partner does a second pass keep the facts themselves, and only for the
//! first few files whose content differs does a third set the content aside.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};

use siphasher::sip128::{Hasher128, SipHasher13};
use tempfile::SpooledTempFile;

use super::layers::Layer;
use super::{Comparison, DiffError, Difference, below};
use plugin_oci::documents::Descriptor;
use plugin_oci::failure::Error;
use plugin_oci::layers::unpack::{Entry, ExtractOptions, Kind, LayerInput, read_entries};
use plugin_oci::progress::{Event, Outcome};
use plugin_oci::stores::{Source, StoreError, Verified};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;

/// The most paths of one pair of layers whose differences are told one by one.
const MOST_PATHS: usize = 500;
/// The most files of one pair of layers whose contents are looked into.
const MOST_FILES: usize = 16;
/// Content up to this size stays in memory.
const IN_MEMORY: usize = 1 << 20;

/// A layer that can be read again and again.
struct Stored<'a> {
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
    compression: Compression,
    diff_id: Option<&'a Digest>,
    /// A copy, where the store is far away.
    copy: Option<File>,
    /// Bytes of tar that were read so far, in all passes.
    read: Cell<u64>,
}

/// The keys of this run's hashes: no archive can collide with another on purpose.
#[derive(Clone, Copy)]
struct Keys(u64, u64);

/// Path and facts of an entry, hashed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Print {
    path: u128,
    facts: u128,
}

/// An entry and its content's hash.
struct Known {
    entry: Entry,
    content: u128,
}

/// Entries by path.
type Facts = BTreeMap<String, Known>;
/// A rule, and the values on both sides.
type Change = (&'static str, String, String);
/// A rule, and how to see its value.
type Fact = (&'static str, fn(&Entry) -> String);
type Visit<'a> = dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()> + 'a;

impl Comparison<'_> {
    /// Compares what is in two layers.
    pub(super) fn entries(&mut self, layers: [Layer<'_>; 2], chain: &str) -> Result<(), Error> {
        let types = layers.map(|layer| layer.descriptor.media_type.clone());
        let [Some(first), Some(second)] = layers.map(|layer| Compression::of_media_type(&layer.descriptor.media_type)) else {
            let blobs = layers.map(|layer| layer.descriptor);
            return self.blobs(blobs, types, chain);
        };
        if self.is_enough(chain) {
            return Ok(());
        }
        let open = |side: usize, compression| Stored::new(self.sources[side], layers[side], compression, chain);
        let key = chain.to_owned();
        let bytes = layers.map(|layer| layer.descriptor.size).iter().sum();
        self.progress.event(Event::BlobStarted { blob: key.clone(), verb: "Comparing", total: Some(bytes) });
        let stored = [open(0, first)?, open(1, second)?];
        let keys = Keys::random();
        let (different, reordered) = different(&stored, keys)?;
        self.progress.event(Event::BlobFinished { blob: key, outcome: Outcome::Present, bytes });
        let wanted: BTreeSet<u128> = different.iter().copied().take(MOST_PATHS).collect();
        let facts = [stored[0].facts(keys, &wanted)?, stored[1].facts(keys, &wanted)?];
        let changed = self.tell(&facts, chain);
        if different.len() > wanted.len() {
            let text = format!("{} more entries differ", different.len() - wanted.len());
            self.content(Difference::note(chain, "more", text));
        }
        if different.is_empty() && reordered {
            self.content(Difference::note(chain, "entry-order", "the same entries in another order"));
        }
        if changed.len() > MOST_FILES {
            let text = format!("{} files have other contents; the first {MOST_FILES} follow", changed.len());
            self.content(Difference::note(chain, "more", text));
        }
        let looked_into: BTreeSet<String> = changed.into_iter().take(MOST_FILES).collect();
        let mut contents = [stored[0].contents(&looked_into, chain)?, stored[1].contents(&looked_into, chain)?];
        self.read = stored.iter().fold(self.read, |read, layer| read.saturating_add(layer.read.get()));
        for path in &looked_into {
            let [first, second] = &mut contents;
            if let (Some(first), Some(second)) = (first.get_mut(path), second.get_mut(path)) {
                let object = below(chain, path);
                let found = super::contents::compare([first, second], &object)
                    .map_err(|source| DiffError::SetAside { object, source })?;
                for difference in found {
                    self.content(difference);
                }
            }
        }
        Ok(())
    }

    /// Layers that are no tar archives: the module of a wasm artifact, for one.
    fn blobs(&mut self, blobs: [&Descriptor; 2], types: [String; 2], chain: &str) -> Result<(), Error> {
        if types[0] != types[1] {
            self.content(Difference::changed(chain, "media-type", "", types));
            return Ok(());
        }
        if self.is_enough(chain) {
            return Ok(());
        }
        self.read = blobs.iter().fold(self.read, |read, blob| read.saturating_add(blob.size));
        let set_aside = |side: usize| -> Result<SpooledTempFile, Error> {
            let reader = self.sources[side].open(blobs[side])?;
            let mut file = SpooledTempFile::new(IN_MEMORY);
            io::copy(&mut Verified::new(reader, blobs[side]), &mut file)
                .map_err(|error| StoreError::reading(&self.sources[side].name(), blobs[side], error))?;
            Ok(file)
        };
        let (mut first, mut second) = (set_aside(0)?, set_aside(1)?);
        let found = super::contents::compare([&mut first, &mut second], chain)
            .map_err(|source| DiffError::SetAside { object: chain.to_owned(), source })?;
        for difference in found {
            self.content(difference);
        }
        Ok(())
    }

    /// Tells the facts that differ; returns the files whose content does.
    fn tell(&mut self, facts: &[Facts; 2], chain: &str) -> Vec<String> {
        let mut paths: Vec<&String> = facts[0].keys().chain(facts[1].keys()).collect();
        paths.sort();
        paths.dedup();
        let mut changed = Vec::new();
        let mut shared: BTreeMap<Change, Vec<&str>> = BTreeMap::new();
        for path in paths {
            let (first, second) = match [facts[0].get(path), facts[1].get(path)] {
                [Some(first), Some(second)] => (first, second),
                [Some(only), None] => {
                    self.content(Difference::only(chain, "entry", 0, describe(path, &only.entry)));
                    continue;
                }
                [None, only] => {
                    let text = only.map(|only| describe(path, &only.entry)).unwrap_or_default();
                    self.content(Difference::only(chain, "entry", 1, text));
                    continue;
                }
            };
            for (rule, a, b) in metadata([&first.entry, &second.entry]) {
                shared.entry((rule, a, b)).or_default().push(path);
            }
            let files = first.entry.kind == Kind::File && second.entry.kind == Kind::File;
            if files && first.content != second.content {
                changed.push(path.clone());
            }
        }
        for ((rule, first, second), paths) in shared {
            self.content(about(&paths, rule, [first, second], chain));
        }
        changed
    }
}

/// The same change of one or many entries, told once.
fn about(paths: &[&str], rule: &'static str, values: [String; 2], chain: &str) -> Difference {
    let what = rule.strip_prefix("entry-").unwrap_or(rule);
    match paths {
        [path] => Difference::changed(below(chain, path), rule, what, values),
        several => {
            let few: Vec<&str> = several.iter().copied().take(3).collect();
            let more = if several.len() > few.len() { ", ..." } else { "" };
            let what = format!("{what} of {} entries ({}{more}):", several.len(), few.join(", "));
            Difference::changed(chain, rule, &super::cut(&what), values)
        }
    }
}

/// What differs of two entries beside their content.
fn metadata(entries: [&Entry; 2]) -> Vec<Change> {
    let facts: [Fact; 5] = [
        ("entry-kind", |entry| kind(&entry.kind).to_owned()),
        ("entry-target", |entry| target(&entry.kind).unwrap_or_default().to_owned()),
        ("entry-mode", |entry| format!("{:04o}", entry.mode)),
        ("entry-owner", |entry| format!("{}:{}", entry.uid, entry.gid)),
        ("entry-mtime", |entry| entry.mtime.to_string()),
    ];
    let both = facts.into_iter().map(|(rule, fact)| (rule, fact(entries[0]), fact(entries[1])));
    both.filter(|(_, first, second)| first != second).collect()
}

fn describe(path: &str, entry: &Entry) -> String {
    let target = target(&entry.kind).map(|target| format!(" -> {target}")).unwrap_or_default();
    let size = if entry.kind == Kind::File { format!(", {} bytes", entry.size) } else { String::new() };
    format!("{} {path}{target} (mode {:04o}{size})", kind(&entry.kind), entry.mode)
}

const fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink { .. } => "symlink",
        Kind::HardLink { .. } => "hard link",
        Kind::Whiteout => "whiteout",
        Kind::Opaque => "opaque whiteout",
        Kind::Other(kind) => kind,
    }
}

fn target(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::Symlink { target } | Kind::HardLink { target } => Some(target),
        _ => None,
    }
}

/// The paths that differ, and whether the common ones stand in another order.
fn different(stored: &[Stored<'_>; 2], keys: Keys) -> Result<(BTreeSet<u128>, bool), Error> {
    let mut first: Vec<Print> = Vec::new();
    let mut order = [SipHasher13::new(), SipHasher13::new()];
    stored[0].prints(keys, &mut |print| {
        std::hash::Hasher::write_u128(&mut order[0], print.path);
        first.push(print);
    })?;
    first.sort_unstable();
    let mut met = vec![false; first.len()];
    let mut different = BTreeSet::new();
    stored[1].prints(keys, &mut |print| {
        std::hash::Hasher::write_u128(&mut order[1], print.path);
        match first.binary_search(&print) {
            Ok(found) => met[found] = true,
            Err(_) => drop(different.insert(print.path)),
        }
    })?;
    different.extend(first.iter().zip(&met).filter(|(_, met)| !**met).map(|(print, _)| print.path));
    let [a, b] = order.map(|hasher| hasher.finish128().as_u128());
    Ok((different, a != b))
}

impl<'a> Stored<'a> {
    fn new(source: &'a dyn Source, layer: Layer<'a>, compression: Compression, chain: &str) -> Result<Self, Error> {
        let mut stored =
            Self { source, descriptor: layer.descriptor, compression, diff_id: layer.diff_id, copy: None, read: Cell::new(0) };
        if source.repository().is_some() {
            let aside = |source| DiffError::SetAside { object: chain.to_owned(), source };
            let mut file = tempfile::tempfile().map_err(aside)?;
            io::copy(&mut stored.reader()?, &mut file)
                .map_err(|error| StoreError::reading(&source.name(), layer.descriptor, error))?;
            file.flush().map_err(|source| DiffError::SetAside { object: chain.to_owned(), source })?;
            stored.copy = Some(file);
        }
        Ok(stored)
    }

    fn reader(&self) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        let bytes: Box<dyn Read + Send + '_> = match &self.copy {
            Some(copy) => {
                let failed = |error| StoreError::reading(&self.source.name(), self.descriptor, error);
                let mut copy = copy.try_clone().map_err(failed)?;
                copy.seek(SeekFrom::Start(0))
                    .map_err(|error| StoreError::reading(&self.source.name(), self.descriptor, error))?;
                Box::new(copy)
            }
            None => self.source.open(self.descriptor)?,
        };
        Ok(Box::new(Verified::new(bytes, self.descriptor)))
    }

    /// One pass over the entries.
    fn read(&self, visit: &mut Visit<'_>) -> Result<(), Error> {
        let input = LayerInput { reader: self.reader()?, compression: self.compression, diff_id: self.diff_id.cloned() };
        let facts = read_entries(input, &ExtractOptions::default(), &mut |entry, body| visit(entry, body))?;
        self.read.set(self.read.get().saturating_add(facts.tar_size));
        Ok(())
    }

    fn prints(&self, keys: Keys, take: &mut dyn FnMut(Print)) -> Result<(), Error> {
        self.read(&mut |entry, body| {
            let facts = keys.facts(entry, keys.content(body)?);
            take(Print { path: keys.path(entry), facts });
            Ok(())
        })
    }

    /// The facts of the wanted paths.
    fn facts(&self, keys: Keys, wanted: &BTreeSet<u128>) -> Result<Facts, Error> {
        let mut known = BTreeMap::new();
        if wanted.is_empty() {
            return Ok(known);
        }
        self.read(&mut |entry, body| {
            if wanted.contains(&keys.path(entry)) {
                let content = keys.content(body)?;
                known.insert(entry.path.clone(), Known { entry: entry.clone(), content });
            }
            Ok(())
        })?;
        Ok(known)
    }

    /// The contents of some files, set aside.
    fn contents(&self, paths: &BTreeSet<String>, chain: &str) -> Result<BTreeMap<String, SpooledTempFile>, Error> {
        let mut contents = BTreeMap::new();
        if paths.is_empty() {
            return Ok(contents);
        }
        let mut failure = None;
        self.read(&mut |entry, body| {
            if failure.is_none() && entry.kind == Kind::File && paths.contains(&entry.path) {
                let mut file = SpooledTempFile::new(IN_MEMORY);
                match copy_in(body, &mut file)? {
                    Ok(()) => drop(contents.insert(entry.path.clone(), file)),
                    Err(source) => failure = Some(DiffError::SetAside { object: below(chain, &entry.path), source }),
                }
            }
            Ok(())
        })?;
        match failure {
            Some(failure) => Err(failure.into()),
            None => Ok(contents),
        }
    }
}

/// Copies, and keeps the reader's errors apart from the writer's.
fn copy_in(from: &mut dyn Read, to: &mut SpooledTempFile) -> io::Result<io::Result<()>> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(Ok(()));
        }
        if let Err(error) = to.write_all(&buffer[..count]) {
            return Ok(Err(error));
        }
    }
}

impl Keys {
    fn random() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(1), random.hash_one(2))
    }

    fn hasher(self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }

    /// A whiteout is known apart from what it hides.
    fn path(self, entry: &Entry) -> u128 {
        use std::hash::Hasher as _;
        let mut hasher = self.hasher();
        hasher.write_u8(u8::from(entry.kind == Kind::Whiteout) + 2 * u8::from(entry.kind == Kind::Opaque));
        hasher.write(entry.path.as_bytes());
        hasher.finish128().as_u128()
    }

    fn facts(self, entry: &Entry, content: u128) -> u128 {
        use std::hash::Hasher as _;
        let mut hasher = self.hasher();
        hasher.write(kind(&entry.kind).as_bytes());
        hasher.write(target(&entry.kind).unwrap_or_default().as_bytes());
        hasher.write_u8(0xff);
        hasher.write_u32(entry.mode);
        hasher.write_i64(entry.mtime);
        for number in [entry.uid, entry.gid, entry.size] {
            hasher.write_u64(number);
        }
        hasher.write_u128(content);
        hasher.finish128().as_u128()
    }

    fn content(self, body: &mut dyn Read) -> io::Result<u128> {
        use std::hash::Hasher as _;
        let mut hasher = self.hasher();
        let mut buffer = [0; 16 << 10];
        loop {
            match body.read(&mut buffer)? {
                0 => return Ok(hasher.finish128().as_u128()),
                count => hasher.write(&buffer[..count]),
            }
        }
    }
}
