//! Looking at a layer's entries without writing any, under the same checks as applying them.

use std::io::{self, Read};

use super::LayerFacts;
use super::error::{ExtractError, shown};
use super::limits::{ExtractOptions, Limits, Rules, Spent};
use super::listed::Listing;
use super::names::{self, Meaning};
use super::seen::{As, Seen};
use super::stream::{self, LayerInput, Pieces};
use crate::layers::tar::{Flag, RawEntry, Walker};

/// An entry whose names have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, relative, without trailing slash; empty for the root. Of a whiteout: the path that it hides.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// All twelve mode bits as stated.
    pub mode: u32,
    /// The user that it is said to belong to; never applied.
    pub uid: u64,
    /// The group that it is said to belong to; never applied.
    pub gid: u64,
    /// Bytes of content.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points, as stated.
        target: String,
    },
    /// Another name of a file.
    HardLink {
        /// That file's path.
        target: String,
    },
    /// A device node or something rarer, in words; never made.
    Other(&'static str),
    /// Hides what lower layers have at the path.
    Whiteout,
    /// Hides what lower layers have below the path.
    Opaque,
}

impl Entry {
    /// Checks the names of an entry, and what they mean.
    pub fn of(raw: &RawEntry, options: &ExtractOptions) -> Result<Self, ExtractError> {
        let (path, kind) = match names::entry(&raw.name, raw.flag == Flag::Directory, options)? {
            Meaning::Plain(path) => {
                let kind = Kind::of(&path, raw, options)?;
                (path, kind)
            }
            _ if raw.flag != Flag::File || raw.size != 0 => {
                return Err(ExtractError::name(&raw.name, "a whiteout is an empty file"));
            }
            Meaning::Whiteout(path) => (path, Kind::Whiteout),
            Meaning::Opaque(path) => (path, Kind::Opaque),
        };
        let (uid, gid) = raw.owner;
        Ok(Self { path, kind, mode: raw.mode & 0o7777, uid, gid, size: raw.size, mtime: raw.mtime.0 })
    }
}

impl Kind {
    fn of(path: &str, raw: &RawEntry, options: &ExtractOptions) -> Result<Self, ExtractError> {
        Ok(match raw.flag {
            Flag::Directory => Self::Directory,
            Flag::Symlink => Self::Symlink {
                target: names::symlink(path, &raw.link, options).map_err(|why| ExtractError::link(path, &raw.link, why))?,
            },
            Flag::HardLink => Self::HardLink { target: names::hard_link(&raw.link, options)? },
            Flag::Device(kind) => Self::Other(kind),
            Flag::Refused(kind) => return Err(ExtractError::Kind { path: shown(path.as_bytes()), kind }),
            _ => Self::File,
        })
    }
}

/// The content of the current entry. What is not read is skipped.
struct Body<'a, 'b> {
    walker: &'a mut Walker<&'b mut Pieces>,
}

impl Read for Body<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.walker.content().map_err(io::Error::other)?;
        let taken = piece.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&piece[..taken]);
        self.walker.consume(taken);
        Ok(taken)
    }
}

/// Reads a layer to its end and calls `visit` with each entry and its content, in archive order.
pub fn read_entries(
    layer: LayerInput<'_>,
    options: &ExtractOptions,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<LayerFacts, ExtractError> {
    let mut unpacked = 0;
    let read = |pieces: &mut Pieces| {
        let mut checks = Checks { seen: Seen::new(), options };
        let mut walker = Walker::vouched(pieces).with_devices(options.rules == Rules::Foreign);
        let mut entries = 0;
        while let Some(raw) = walker.next_entry()? {
            options.limits.count_entry(&mut entries)?;
            let entry = checks.entry(&raw)?;
            visit(&entry, &mut Body { walker: &mut walker }).map_err(|error| ExtractError::from_visit(&entry.path, error))?;
        }
        Ok(entries)
    };
    let (entries, facts) = stream::run(layer, &options.limits, &mut unpacked, read)?;
    Ok(LayerFacts { diff_id: facts.diff_id, tar_size: facts.tar_size, entries })
}

/// Reads a layer to its end and hands over each entry with its content, in archive order, as other tools may write it. Names
/// are as stated: whoever goes through the entries checks them.
pub fn read_raw(
    layer: LayerInput<'_>,
    limits: &Limits,
    take: &mut dyn FnMut(RawEntry, &mut dyn Read) -> io::Result<()>,
) -> Result<LayerFacts, ExtractError> {
    let mut unpacked = 0;
    let read = |pieces: &mut Pieces| {
        let mut walker = Walker::vouched(pieces).with_devices(true);
        let mut entries = 0;
        while let Some(raw) = walker.next_entry()? {
            limits.count_entry(&mut entries)?;
            let name = shown(&raw.name);
            take(raw, &mut Body { walker: &mut walker }).map_err(|error| ExtractError::from_visit(&name, error))?;
        }
        Ok(entries)
    };
    let (entries, facts) = stream::run(layer, limits, &mut unpacked, read)?;
    Ok(LayerFacts { diff_id: facts.diff_id, tar_size: facts.tar_size, entries })
}

/// Goes through a layer that was read before, under the checks of [`read_entries`].
pub fn check_listed(
    layer: &mut dyn Listing,
    options: &ExtractOptions,
    visit: &mut dyn FnMut(&Entry),
) -> Result<LayerFacts, ExtractError> {
    let mut checks = Checks { seen: Seen::new(), options };
    let mut entries = 0;
    layer.each(&mut |raw| {
        options.limits.count_entry(&mut entries)?;
        checks.entry(raw).map(|entry| visit(&entry))
    })
}

/// Reads a layer to its end, or to where it is no tar any more, and calls `visit` with each entry and what is wrong with it: a
/// list of what is there, of which nothing may be made. Names and targets are escaped. The limits hold for all layers that
/// share `spent`.
pub fn list_entries(
    layer: LayerInput<'_>,
    options: &ExtractOptions,
    spent: &mut Spent,
    visit: &mut dyn FnMut(Entry, Option<ExtractError>),
) -> Result<LayerFacts, ExtractError> {
    let Spent { unpacked, entries: all } = spent;
    let read = |pieces: &mut Pieces| {
        let mut checks = Checks { seen: Seen::new(), options };
        let mut walker = Walker::vouched(pieces).with_everything();
        let mut entries = 0;
        while let Some(raw) = walker.next_entry()? {
            options.limits.count_entry(all)?;
            entries += 1;
            match checks.entry(&raw) {
                Ok(entry) => visit(entry, None),
                Err(error) => visit(as_stated(&raw), Some(error)),
            }
        }
        Ok(entries)
    };
    let (entries, facts) = stream::run(layer, &options.limits, unpacked, read)?;
    Ok(LayerFacts { diff_id: facts.diff_id, tar_size: facts.tar_size, entries })
}

/// An entry whose names were refused.
fn as_stated(raw: &RawEntry) -> Entry {
    let kind = match raw.flag {
        Flag::Directory => Kind::Directory,
        Flag::Symlink => Kind::Symlink { target: shown(&raw.link) },
        Flag::HardLink => Kind::HardLink { target: shown(&raw.link) },
        Flag::Device(kind) | Flag::Refused(kind) => Kind::Other(kind),
        _ => Kind::File,
    };
    let (uid, gid) = raw.owner;
    Entry { path: shown(&raw.name), kind, mode: raw.mode & 0o7777, uid, gid, size: raw.size, mtime: raw.mtime.0 }
}

struct Checks<'a> {
    seen: Seen,
    options: &'a ExtractOptions,
}

impl Checks<'_> {
    fn entry(&mut self, raw: &RawEntry) -> Result<Entry, ExtractError> {
        let entry = Entry::of(raw, self.options)?;
        match entry.kind {
            Kind::Whiteout => {
                let (parent, name) = super::root::split(&entry.path);
                self.claim(&super::root::join(parent, &format!(".wh.{name}")), As::Other)?;
            }
            Kind::Opaque => self.claim(&super::root::join(&entry.path, ".wh..wh..opq"), As::Other)?,
            _ => {
                self.claim(&entry.path, if raw.flag == Flag::Directory { As::Directory } else { As::Other })?;
                self.parents(&entry.path)?;
            }
        }
        Ok(entry)
    }

    /// Marks the parents of an entry; one that the layer itself makes something else refuses it, except that other
    /// tools may go through links.
    fn parents(&mut self, path: &str) -> Result<(), ExtractError> {
        for (end, _) in path.rmatch_indices('/') {
            match self.seen.get(&path[..end]) {
                None => self.seen.insert_parent(&path[..end]),
                Some(As::Other) if self.options.rules == Rules::Strict => {
                    return Err(super::root::Obstacle::NotDirectory.explain(path));
                }
                // Whatever marked it has marked its parents as well.
                Some(_) => break,
            }
        }
        Ok(())
    }

    fn claim(&mut self, path: &str, named: As) -> Result<(), ExtractError> {
        self.seen.claim(path, named, self.options.rules)
    }
}
