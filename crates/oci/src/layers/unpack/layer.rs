//! One layer applied to what the layers below it made.
//!
//! Whiteouts speak about lower layers only (image-spec, `layer.md`), so they mean the same wherever they stand in their
//! layer: what this layer names is kept. Existing things are replaced, never written into: a file that is a hard link
//! keeps its other names' content.

use std::io::{self, Write};

use super::directories::Directories;
use super::error::ExtractError;
use super::limits::{ExtractOptions, Rules};
use super::listed::{Listing, Nothing};
use super::names::{self, Meaning};
use super::root::{Directory, Found, Handle, Metadata, Obstacle, Steps, Walk, join, split};
use super::seen::{As, Linked, Seen};
use super::writer::{self, Small, Writer};
use super::{Counts, LayerFacts};
use crate::fs::EarlySync;
use crate::layers::tar::{Flag, RawEntry, Stream, Walker};

/// The directory being filled, and what has to be remembered until it is whole.
pub(super) struct Tree<D> {
    root: D,
    walk: Walk<D>,
    /// A second place in the tree, for what hard links point to.
    link_walk: Walk<D>,
    steps: Steps,
    seen: Seen,
    linked: Linked,
    directories: Directories,
    entries: u64,
    link_bytes: u64,
    counts: Counts,
    early: EarlySync,
    options: ExtractOptions,
}

/// Where an entry goes: below the directory that was entered last.
struct EntryPath<'a> {
    path: &'a str,
    name: &'a str,
}

impl<D: Directory> Tree<D> {
    pub(super) fn new(root: D, options: ExtractOptions) -> io::Result<Self> {
        let follow = options.rules == Rules::Foreign;
        Ok(Self {
            walk: Walk::new(&root, follow)?,
            link_walk: Walk::new(&root, follow)?,
            steps: Steps::of(&options.limits),
            root,
            seen: Seen::new(),
            linked: Linked::new(),
            directories: Directories::new(),
            entries: 0,
            link_bytes: 0,
            counts: Counts::default(),
            early: EarlySync::default(),
            options,
        })
    }

    /// Applies every entry of a layer, tells each to `visit`, and returns their number.
    pub(super) fn apply<S: Stream<Error = ExtractError>>(
        &mut self,
        stream: S,
        visit: &mut dyn FnMut(&RawEntry, &ExtractOptions) -> Result<(), ExtractError>,
    ) -> Result<u64, ExtractError> {
        self.begin_layer();
        let mut walker = Walker::vouched(stream).with_devices(self.options.rules == Rules::Foreign);
        let mut number = 0;
        writer::run(|writer| {
            while let Some(raw) = walker.next_entry()? {
                number += 1;
                self.next_entry(&raw, &mut walker, writer)?;
                visit(&raw, &self.options)?;
            }
            Ok(number)
        })
    }

    /// The same for a layer that was read before: its files have no content.
    pub(super) fn apply_listed(
        &mut self,
        listing: &mut dyn Listing,
        visit: &mut dyn FnMut(&RawEntry, &ExtractOptions) -> Result<(), ExtractError>,
    ) -> Result<LayerFacts, ExtractError> {
        self.begin_layer();
        let mut nothing = Walker::vouched(Nothing);
        writer::run(|writer| {
            listing.each(&mut |raw| {
                self.next_entry(raw, &mut nothing, writer)?;
                visit(raw, &self.options)
            })
        })
    }

    /// What a layer has named means nothing to the next one.
    fn begin_layer(&mut self) {
        self.seen.clear();
        self.walk.reset();
    }

    fn next_entry<S: Stream<Error = ExtractError>>(
        &mut self,
        raw: &RawEntry,
        walker: &mut Walker<S>,
        writer: &Writer,
    ) -> Result<(), ExtractError> {
        self.options.limits.count_entry(&mut self.entries)?;
        self.entry(raw, walker, writer)
    }

    pub(super) const fn root(&self) -> &D {
        &self.root
    }

    /// Sets the modes and times of all directories, and hands back the root.
    pub(super) fn finish(mut self) -> Result<(D, Counts), ExtractError> {
        self.early.end().map_err(|source| ExtractError::disk("write", ".", source))?;
        self.directories.set(&self.root)?;
        Ok((self.root, self.counts))
    }

    fn entry<S: Stream<Error = ExtractError>>(
        &mut self,
        raw: &RawEntry,
        walker: &mut Walker<S>,
        writer: &Writer,
    ) -> Result<(), ExtractError> {
        match names::entry(&raw.name, raw.flag == Flag::Directory, &self.options)? {
            Meaning::Plain(path) => self.plain(&path, raw, walker, writer),
            _ if raw.flag != Flag::File || raw.size != 0 => Err(ExtractError::name(&raw.name, "a whiteout is an empty file")),
            Meaning::Whiteout(path) => {
                self.counts.whiteouts += 1;
                let (parent, name) = split(&path);
                // The whiteout's own name: it may share a layer with an entry of the name that it hides.
                self.claim(&join(parent, &format!(".wh.{name}")), As::Other)?;
                self.whiteout(parent, name)
            }
            Meaning::Opaque(path) => {
                self.counts.whiteouts += 1;
                self.claim(&join(&path, ".wh..wh..opq"), As::Other)?;
                self.opaque(&path)
            }
        }
    }

    fn plain<S: Stream<Error = ExtractError>>(
        &mut self,
        path: &str,
        raw: &RawEntry,
        walker: &mut Walker<S>,
        writer: &Writer,
    ) -> Result<(), ExtractError> {
        let metadata = self.metadata(raw);
        if path.is_empty() {
            self.claim("", As::Directory)?;
            return self.directories.insert("", Some(metadata), &self.options.limits);
        }
        let (parent, name) = split(path);
        let path = join(&self.make_parent(parent, path)?, name);
        self.claim(&path, if raw.flag == Flag::Directory { As::Directory } else { As::Other })?;
        let place = EntryPath { path: &path, name };
        match raw.flag {
            Flag::Directory => self.directory(&place, metadata),
            Flag::Symlink => self.symlink(&place, &raw.link, metadata),
            Flag::HardLink => self.hard_link(&place, &raw.link),
            Flag::Device(_) => {
                self.counts.dropped_devices += 1;
                self.vacate(&place)
            }
            _ => self.file(&place, raw.size, metadata, walker, writer),
        }
    }

    /// Permission bits as stated, without setuid and setgid; the sticky bit means something on directories only.
    fn metadata(&mut self, raw: &RawEntry) -> Metadata {
        self.counts.dropped_modes += u64::from(raw.mode & 0o6000 != 0);
        self.counts.dropped_xattrs += raw.xattrs;
        let mask = if raw.flag == Flag::Directory { 0o1777 } else { 0o777 };
        Metadata { mode: raw.mode & mask, seconds: raw.mtime.0, nanos: raw.mtime.1 }
    }

    fn directory(&mut self, place: &EntryPath<'_>, metadata: Metadata) -> Result<(), ExtractError> {
        self.counts.directories += 1;
        let here = self.walk.current();
        let made = here.enter(place.name).and_then(|found| match found {
            Found::Directory(_) => here.name(place.name),
            Found::Nothing => here.make_directory(place.name).map(drop),
            // A link to a directory is replaced as well.
            Found::Symlink | Found::Other => {
                here.remove(place.name)?;
                here.make_directory(place.name).map(drop)
            }
        });
        made.map_err(|source| ExtractError::disk("create", place.path, source))?;
        self.directories.insert(place.path, Some(metadata), &self.options.limits)
    }

    fn symlink(&mut self, place: &EntryPath<'_>, target: &[u8], metadata: Metadata) -> Result<(), ExtractError> {
        self.counts.symlinks += 1;
        let target =
            names::symlink(place.path, target, &self.options).map_err(|why| ExtractError::link(place.path, target, why))?;
        self.options.limits.count_link(&mut self.link_bytes, &target)?;
        self.make(place, |parent| parent.make_symlink(place.name, &target, metadata))
    }

    fn hard_link(&mut self, place: &EntryPath<'_>, target: &[u8]) -> Result<(), ExtractError> {
        const NOWHERE: &str = "nothing in the image has that path";
        self.counts.hard_links += 1;
        let refused = |why| ExtractError::link(place.path, target, why);
        let target = names::hard_link(target, &self.options)?;
        let (parent, name) = split(&target);
        let parent = match self.link_walk.enter(parent, &mut self.steps) {
            Err(Obstacle::Missing | Obstacle::NotDirectory | Obstacle::Symlink) => return Err(refused(NOWHERE)),
            other => other.map_err(|obstacle| obstacle.explain(place.path))?,
        };
        match self.link_walk.current().enter(name) {
            Ok(Found::Nothing) => return Err(refused(NOWHERE)),
            Ok(Found::Directory(_)) => return Err(refused("a directory has one name only")),
            // Elsewhere it would lead elsewhere.
            Ok(Found::Symlink) if self.options.rules == Rules::Strict => return Err(refused("it is a symbolic link")),
            Ok(Found::Symlink | Found::Other) => {}
            Err(source) => return Err(ExtractError::disk("open", &target, source)),
        }
        if join(&parent, name) == place.path {
            return Err(refused("it points to itself"));
        }
        if !self.linked.add(place.path, &join(&parent, name)) {
            return Err(refused("its file has more names than a file can have"));
        }
        self.vacate(place)?;
        // What was in the way may have held the target.
        self.link_walk.enter(&parent, &mut self.steps).map_err(|obstacle| obstacle.explain(place.path))?;
        let made = self.walk.current().make_hard_link(place.name, self.link_walk.current(), name);
        made.map_err(|source| ExtractError::disk("link", place.path, source))
    }

    fn file<S: Stream<Error = ExtractError>>(
        &mut self,
        place: &EntryPath<'_>,
        size: u64,
        metadata: Metadata,
        walker: &mut Walker<S>,
        writer: &Writer,
    ) -> Result<(), ExtractError> {
        self.counts.files += 1;
        let Some(mut file) = self.make(place, |parent| parent.make_file(place.name))? else { return Ok(()) };
        if size <= writer::SMALL {
            let mut content = Vec::new();
            self.content(walker, |piece| {
                content.extend_from_slice(piece);
                Ok(())
            })?;
            return writer.put(Small { path: place.path.to_owned(), file, content, metadata });
        }
        let disk = |action| move |source| ExtractError::disk(action, place.path, source);
        self.content(walker, |piece| file.write_all(piece).map_err(disk("write")))?;
        Handle::finish_file(&file, metadata).map_err(disk("finish"))
    }

    /// Hands on an entry's content, piece by piece.
    fn content<S: Stream<Error = ExtractError>>(
        &mut self,
        walker: &mut Walker<S>,
        mut put: impl FnMut(&[u8]) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        loop {
            let piece = walker.content()?;
            if piece.is_empty() {
                return Ok(());
            }
            put(piece)?;
            let taken = piece.len();
            walker.consume(taken);
            self.counts.bytes += taken as u64;
            self.early
                .wrote(taken as u64, || self.root.early_sync())
                .map_err(|source| ExtractError::disk("write", ".", source))?;
        }
    }

    /// Makes something new, after removing what a lower layer has there.
    fn make<T>(&mut self, place: &EntryPath<'_>, make: impl Fn(&D) -> io::Result<T>) -> Result<T, ExtractError> {
        let done = match make(self.walk.current()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.vacate(place)?;
                make(self.walk.current())
            }
            other => other,
        };
        done.map_err(|source| ExtractError::disk("create", place.path, source))
    }

    /// Removes what a lower layer has at a place below the directory entered last.
    fn vacate(&mut self, place: &EntryPath<'_>) -> Result<(), ExtractError> {
        self.link_walk.reset();
        self.directories.forget(place.path);
        self.walk.current().remove(place.name).map_err(|source| ExtractError::disk("remove", place.path, source))
    }

    fn whiteout(&mut self, parent: &str, name: &str) -> Result<(), ExtractError> {
        let Some(parent) = self.enter(parent)? else { return Ok(()) };
        let path = join(&parent, name);
        match self.seen.get(&path) {
            Some(As::Other) => Ok(()),
            Some(As::Parent | As::Directory) => self.opaque(&path),
            None => self.vacate(&EntryPath { path: &path, name }),
        }
    }

    /// Removes what lower layers put below a path.
    fn opaque(&mut self, path: &str) -> Result<(), ExtractError> {
        let Some(path) = self.enter(path)? else { return Ok(()) };
        self.link_walk.reset();
        let emptied = keep_named(self.walk.current(), &path, &mut self.seen);
        emptied.map_err(|source| ExtractError::disk("empty", &path, source))
    }

    /// Opens a directory if it is there.
    fn enter(&mut self, path: &str) -> Result<Option<String>, ExtractError> {
        match self.walk.enter(path, &mut self.steps) {
            Ok(path) => Ok(Some(path)),
            Err(Obstacle::Missing | Obstacle::NotDirectory | Obstacle::Symlink) => Ok(None),
            Err(obstacle) => Err(obstacle.explain(path)),
        }
    }

    /// Opens an entry's parent, making what is missing of it.
    fn make_parent(&mut self, parent: &str, path: &str) -> Result<String, ExtractError> {
        let Self { walk, steps, seen, directories, entries, options, .. } = self;
        let entered = walk.make(parent, steps, &mut |step, made| {
            seen.insert_parent(step);
            if made {
                options.limits.count_entry(entries)?;
                directories.insert(step, None, &options.limits)?;
            }
            Ok(())
        });
        entered.map_err(|obstacle| obstacle.explain(path))
    }

    /// Takes a path for this layer.
    fn claim(&mut self, path: &str, named: As) -> Result<(), ExtractError> {
        self.seen.claim(path, named, self.options.rules)
    }
}

/// Removes from a directory, and from those below it, what this layer has not named. Once in a layer is enough: what comes
/// later is named. What is removed keeps what is remembered of its directories: made anew, they are remembered anew.
fn keep_named<D: Directory>(handle: &D, path: &str, seen: &mut Seen) -> io::Result<()> {
    if !seen.sweep(path) {
        return Ok(());
    }
    handle.keep_named(&mut |name, directory| {
        let below = join(path, name);
        let kept = seen.get(&below).is_some();
        if kept
            && directory
            && let Found::Directory(handle) = handle.enter(name)?
        {
            keep_named(&handle, &below, seen)?;
        }
        Ok(kept)
    })
}
