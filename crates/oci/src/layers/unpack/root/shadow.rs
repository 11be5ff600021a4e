//! A directory that is only thought of: what is where, so that an archive can be judged without a disk.
//!
//! Memory is bounded as the entries are: some thirty bytes each, whatever the names. A thing is known by a hash, under keys
//! drawn for this run, of the directory that it is in and of its name. A directory that is removed takes along what is below
//! it, because nothing leads there any more; the same is done to what a whiteout hides: a directory remembers the layer that
//! emptied it, and everything remembers the last layer that named it. Only the targets of links are kept whole, within the
//! limit of one link each.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher as _};
use std::io;
use std::rc::Rc;

use siphasher::sip::SipHasher13;

use super::{Directory, Found, Keep, Metadata, Sync};

/// An open directory of the rehearsal.
pub(in super::super) struct Shadow {
    id: u32,
    /// Where it is remembered; `None` for the root.
    key: Option<u64>,
    /// Layers below this one are hidden in it.
    since: Cell<u16>,
    nodes: Rc<RefCell<Nodes>>,
}

struct Nodes {
    keys: (u64, u64),
    known: BTreeMap<u64, Node>,
    targets: Vec<Rc<str>>,
    directories: u32,
    layer: u16,
    root_since: u16,
}

#[derive(Clone, Copy)]
struct Node {
    kind: Kind,
    /// The last layer that named it.
    layer: u16,
}

#[derive(Clone, Copy)]
enum Kind {
    Directory { id: u32, since: u16 },
    Symlink(u32),
    File,
}

impl Shadow {
    /// An empty root.
    pub(in super::super) fn root() -> Self {
        let random = RandomState::new();
        let nodes = Nodes {
            keys: (random.hash_one(1), random.hash_one(2)),
            known: BTreeMap::new(),
            targets: Vec::new(),
            directories: 0,
            layer: 0,
            root_since: 0,
        };
        Self { id: 0, key: None, since: Cell::new(0), nodes: Rc::new(RefCell::new(nodes)) }
    }

    /// The next layer begins.
    pub(in super::super) fn next_layer(&self) {
        let mut nodes = self.nodes.borrow_mut();
        nodes.layer = nodes.layer.saturating_add(1);
    }

    fn key(&self, name: &str) -> u64 {
        let keys = self.nodes.borrow().keys;
        let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
        hasher.write_u32(self.id);
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    fn since(&self) -> u16 {
        self.since.get().max(self.nodes.borrow().root_since)
    }

    fn get(&self, name: &str) -> Option<Node> {
        let node = self.nodes.borrow().known.get(&self.key(name)).copied();
        node.filter(|node| node.layer >= self.since())
    }

    fn put(&self, name: &str, kind: Kind) -> io::Result<()> {
        if self.get(name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let key = self.key(name);
        let mut nodes = self.nodes.borrow_mut();
        let layer = nodes.layer;
        nodes.known.insert(key, Node { kind, layer });
        Ok(())
    }

    fn below(&self, name: &str, id: u32, since: u16) -> Self {
        let since = Cell::new(since.max(self.since()));
        Self { id, key: Some(self.key(name)), since, nodes: Rc::clone(&self.nodes) }
    }
}

impl Directory for Shadow {
    fn again(&self) -> io::Result<Self> {
        Ok(Self { id: self.id, key: self.key, since: self.since.clone(), nodes: Rc::clone(&self.nodes) })
    }

    fn enter(&self, name: &str) -> io::Result<Found<Self>> {
        Ok(match self.get(name).map(|node| node.kind) {
            Some(Kind::Directory { id, since }) => Found::Directory(self.below(name, id, since)),
            Some(Kind::Symlink(_)) => Found::Symlink,
            Some(Kind::File) => Found::Other,
            None => Found::Nothing,
        })
    }

    fn read_link(&self, name: &str) -> io::Result<String> {
        match self.get(name).map(|node| node.kind) {
            Some(Kind::Symlink(target)) => Ok(self.nodes.borrow().targets[target as usize].to_string()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn make_directory(&self, name: &str) -> io::Result<Self> {
        let id = self.nodes.borrow().directories + 1;
        self.put(name, Kind::Directory { id, since: 0 })?;
        self.nodes.borrow_mut().directories = id;
        Ok(self.below(name, id, 0))
    }

    fn make_file(&self, name: &str) -> io::Result<Option<File>> {
        self.put(name, Kind::File).map(|()| None)
    }

    fn make_symlink(&self, name: &str, target: &str, _: Metadata) -> io::Result<()> {
        let number = u32::try_from(self.nodes.borrow().targets.len()).map_err(io::Error::other)?;
        self.put(name, Kind::Symlink(number))?;
        self.nodes.borrow_mut().targets.push(target.into());
        Ok(())
    }

    fn make_hard_link(&self, name: &str, from: &Self, from_name: &str) -> io::Result<()> {
        let target = from.get(from_name).ok_or(io::ErrorKind::NotFound)?;
        self.put(name, target.kind)
    }

    fn finish(&self, _: Metadata) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let key = self.key(name);
        self.nodes.borrow_mut().known.remove(&key);
        Ok(())
    }

    fn name(&self, name: &str) -> io::Result<()> {
        let key = self.key(name);
        let mut nodes = self.nodes.borrow_mut();
        let layer = nodes.layer;
        if let Some(node) = nodes.known.get_mut(&key) {
            node.layer = layer;
        }
        Ok(())
    }

    fn keep_named(&self, _: &mut Keep<'_>) -> io::Result<()> {
        let mut nodes = self.nodes.borrow_mut();
        let layer = nodes.layer;
        self.since.set(layer);
        match self.key {
            None => nodes.root_since = layer,
            Some(key) => {
                if let Some(Node { kind: Kind::Directory { since, .. }, .. }) = nodes.known.get_mut(&key) {
                    *since = layer;
                }
            }
        }
        Ok(())
    }

    fn early_sync(&self) -> io::Result<Sync> {
        Ok(Box::new(|| Ok(())))
    }
}
