//! The root that an image's layers make, as far as it matters to what starts there, without unpacking any.
//!
//! One pass over the layers keeps links, programs, libraries and the loader's settings by path, whiteouts and replacements
//! applied. A library or program may also lie under a name that tells nothing, behind a link or because it is asked for so:
//! where that comes up, one more pass keeps what has that name ([`Root::learn`]). Then each look at files is one more pass over the layers that hold them: only what was asked for is set aside, in
//! a file that has no name, and only what the loader sees of it is kept. Memory is bounded by `KEPT`, whatever the layers
//! hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::known::Known;
use super::look::{Look, TEXT, is_setting, look_into, name_of, set_aside};
use plugin_oci::documents::Descriptor;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs::FileError;
use plugin_oci::layers::unpack::{Entry, ExtractOptions, Kind, LayerInput, read_entries};
use plugin_oci::stores::{Source, Verified};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;

/// Bytes for all that is kept of the layers, and what each path costs beside its text.
const KEPT: usize = 16 << 20;
const EACH: usize = 128;
/// Links on the way to a file.
const LINKS: usize = 40;
/// Names that tell nothing, and passes that look for files of such names.
const NAMES: usize = 1024;
const PASSES: usize = 8;
/// Files that are looked into.
const LOOKS: usize = 1024;
/// Bytes of a path that is looked for.
const PATH: usize = 1024;

/// What lies below the others, or on top of them.
pub enum Layer<'a> {
    /// A layer of a store, and what is known of it already.
    Stored {
        source: &'a dyn Source,
        descriptor: &'a Descriptor,
        compression: Compression,
        diff_id: Option<Digest>,
        known: Option<Arc<Known>>,
    },
    /// Files that are going to be one: path, permission bits, and the file or link target.
    Planned(Vec<(String, u32, Planned)>),
}

/// A file of a layer to be.
pub enum Planned {
    /// A file on disk.
    Disk(PathBuf),
    /// A symbolic link.
    Link(String),
    /// A file that is not made yet, as far as it is known: a text that says who is who, or a program.
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Node {
    Link(String),
    /// A file: its permission bits, and its content where the loader would read it.
    File(LayerPath, u32, Option<Arc<[u8]>>),
}

/// Where a file's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerPath {
    layer: usize,
    /// Its path in the layer, or on disk.
    path: String,
}

/// Layers as one root.
pub struct Root<'a> {
    layers: Vec<Layer<'a>>,
    nodes: BTreeMap<String, (usize, Node)>,
    /// What was there: the layer that had it, and the one that took it away.
    gone: BTreeMap<String, (usize, usize)>,
    looks: BTreeMap<LayerPath, Look>,
    kept: usize,
    /// Names that matter although they tell nothing.
    names: BTreeSet<String>,
    /// Hard links to what was not kept: the link's name, and that of what it links to.
    unmet: Vec<(String, String)>,
    passes: usize,
}

impl<'a> Root<'a> {
    /// Reads the layers, lowest first.
    pub fn of(layers: Vec<Layer<'a>>) -> Result<Self, Error> {
        let (nodes, gone, looks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (names, unmet) = (BTreeSet::new(), Vec::new());
        let mut root = Self { layers, nodes, gone, looks, kept: 0, names, unmet, passes: 0 };
        root.pass()?;
        root.learn([])?;
        Ok(root)
    }

    /// One pass over the layers.
    fn pass(&mut self) -> Result<(), Error> {
        self.nodes.clear();
        self.gone.clear();
        self.unmet.clear();
        self.kept = self.names.iter().map(|name| name.len() + EACH).sum();
        self.passes += 1;
        let layers = std::mem::take(&mut self.layers);
        for (number, layer) in layers.iter().enumerate() {
            match layer {
                Layer::Planned(files) => self.plan(number, files)?,
                Layer::Stored { known: Some(known), .. } => known.each(&mut |entry, content, look| {
                    if let Some(look) = look {
                        self.looks.insert(LayerPath { layer: number, path: entry.path.clone() }, look.clone());
                    }
                    self.entry(number, entry, &mut &*content)
                })?,
                stored @ Layer::Stored { .. } => stored.entries(&mut |entry, body| self.entry(number, entry, body))?,
            }
        }
        self.layers = layers;
        Ok(())
    }

    fn plan(&mut self, layer: usize, files: &[(String, u32, Planned)]) -> Result<(), Error> {
        for (path, mode, file) in files {
            let node = match file {
                Planned::Link(target) => Some(Node::Link(target.clone())),
                Planned::Bytes(bytes) => {
                    self.count(bytes.len()).map_err(|error| too_much(&error))?;
                    let content = is_setting(path).then(|| Arc::from(bytes.as_slice()));
                    Some(Node::File(LayerPath { layer, path: path.clone() }, *mode, content))
                }
                Planned::Disk(disk) => {
                    let mut content = None;
                    if is_setting(path) {
                        let mut bytes = Vec::new();
                        let file = File::open(disk).map_err(FileError::at("read", disk))?;
                        file.take(TEXT + 1).read_to_end(&mut bytes).map_err(FileError::at("read", disk))?;
                        self.count(bytes.len()).map_err(|error| too_much(&error))?;
                        content = (bytes.len() as u64 <= TEXT).then(|| Arc::from(bytes));
                    }
                    let place = LayerPath { layer, path: disk.to_string_lossy().into_owned() };
                    let kept = content.is_some() || self.matters(path, *mode);
                    kept.then_some(Node::File(place, *mode, content))
                }
            };
            // Its layer says of each directory above it that it is one.
            for (end, _) in path.match_indices('/') {
                self.remove(&path[..end], layer, false, usize::MAX).map_err(|error| too_much(&error))?;
            }
            self.put(path, layer, node).map_err(|error| too_much(&error))?;
        }
        Ok(())
    }

    /// Keeps files of these names too, whatever they are, and of those that links of kept names lead to.
    pub fn learn(&mut self, names: impl IntoIterator<Item = String>) -> Result<(), Error> {
        let mut new: Vec<String> = names.into_iter().filter(|name| !is_library(name)).collect();
        new.retain(|name| !name.is_empty() && self.names.insert(name.clone()));
        let links = self.nodes.iter().filter_map(|(path, (_, node))| match node {
            Node::Link(target) => Some((name_of(path), name_of(target))),
            Node::File(..) => None,
        });
        let mut targets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (link, target) in links.chain(self.unmet.iter().map(|(link, target)| (link.as_str(), target.as_str()))) {
            targets.entry(link).or_default().insert(target);
        }
        let libraries = targets.keys().filter(|link| is_library(link)).map(|link| (*link).to_owned());
        let mut next: Vec<String> = libraries.chain(new.iter().cloned()).collect();
        while let Some(link) = next.pop() {
            for target in targets.get(link.as_str()).into_iter().flatten() {
                if !is_library(target) && !matches!(*target, "" | "." | "..") && self.names.insert((*target).to_owned()) {
                    new.push((*target).to_owned());
                    next.push((*target).to_owned());
                }
            }
        }
        if self.names.len() > NAMES || self.passes > PASSES {
            return Err(Self::too_much());
        }
        if new.is_empty() { Ok(()) } else { self.pass() }
    }

    /// What a loader or a shell could ask for.
    fn matters(&self, path: &str, mode: u32) -> bool {
        mode & 0o111 != 0 || is_library(name_of(path)) || self.names.contains(name_of(path))
    }

    fn entry(&mut self, layer: usize, entry: &Entry, body: &mut dyn Read) -> io::Result<()> {
        let path = self.placed(&entry.path);
        match &entry.kind {
            Kind::Whiteout => {
                self.remove(&path, layer, false, layer)?;
                self.remove(&path, layer, true, layer)
            }
            Kind::Opaque => self.remove(&path, layer, true, layer),
            Kind::Directory => self.remove(&path, layer, false, usize::MAX),
            Kind::Symlink { target } => self.put(&path, layer, Some(Node::Link(target.clone()))),
            Kind::HardLink { target } => {
                let target = self.placed(target);
                let node = self.nodes.get(&target).map(|(_, node)| node.clone());
                if node.is_none() {
                    let (link, target) = (name_of(&path).to_owned(), name_of(&target).to_owned());
                    self.count(link.len() + target.len() + EACH)?;
                    self.unmet.push((link, target));
                }
                self.put(&path, layer, node)
            }
            Kind::Other(_) => self.put(&path, layer, None),
            Kind::File => {
                let place = LayerPath { layer, path: entry.path.clone() };
                let mut content = None;
                if is_setting(&path) && entry.size <= TEXT {
                    let mut bytes = Vec::new();
                    body.read_to_end(&mut bytes)?;
                    self.count(bytes.len())?;
                    content = Some(Arc::from(bytes));
                }
                let kept = content.is_some() || self.matters(&path, entry.mode);
                self.put(&path, layer, kept.then_some(Node::File(place, entry.mode, content)))
            }
        }
    }

    /// Where an entry goes: its parent may be a link of a lower layer.
    fn placed(&self, path: &str) -> String {
        match path.rsplit_once('/') {
            Some((parent, name)) => format!("{}/{name}", self.walk(parent).unwrap_or_else(|| parent.to_owned())),
            None => path.to_owned(),
        }
        .trim_start_matches('/')
        .to_owned()
    }

    /// Puts something in the place of what was there.
    fn put(&mut self, path: &str, layer: usize, node: Option<Node>) -> io::Result<()> {
        self.remove(path, layer, false, usize::MAX)?;
        self.remove(path, layer, true, layer)?;
        let Some(node) = node else { return Ok(()) };
        let more = match &node {
            Node::Link(text) | Node::File(LayerPath { path: text, .. }, ..) => text.len(),
        };
        self.count(path.len() + more + EACH)?;
        self.nodes.insert(path.to_owned(), (layer, node));
        Ok(())
    }

    /// Takes away what layers before `before` have at a path, or below it.
    fn remove(&mut self, path: &str, by: usize, below: bool, before: usize) -> io::Result<()> {
        let found: Vec<String> = if below {
            let start = if path.is_empty() { String::new() } else { format!("{path}/") };
            let range = self.nodes.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
            range.filter(|(_, (layer, _))| *layer < before).map(|(name, _)| name.clone()).collect()
        } else {
            self.nodes.get(path).filter(|(layer, _)| *layer < before).map(|_| path.to_owned()).into_iter().collect()
        };
        for name in found {
            if let Some((had, _)) = self.nodes.remove(&name)
                && had != by
            {
                self.count(name.len() + EACH)?;
                self.gone.insert(name, (had, by));
            }
        }
        Ok(())
    }

    /// Counts what is kept. Nothing is ever given back: a bound, not a measure.
    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.kept += bytes;
        if self.kept > KEPT { Err(io::Error::other(TOO_MUCH)) } else { Ok(()) }
    }

    /// Where a path leads, links followed within the root; relative, as the layers have it.
    fn walk(&self, path: &str) -> Option<String> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut at, mut links) = (String::new(), 0);
        while let Some(part) = rest.pop() {
            match part.as_str() {
                "" | "." => {}
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                name => {
                    let end = at.len();
                    if !at.is_empty() {
                        at.push('/');
                    }
                    at.push_str(name);
                    let target = match self.nodes.get(&at) {
                        None => continue,
                        Some((_, Node::Link(target))) => target,
                        // A file is no directory, whatever is to come, nothing but `/` included.
                        Some((_, Node::File(..))) if !rest.is_empty() => return None,
                        Some((_, Node::File(..))) => break,
                    };
                    links += 1;
                    if links > LINKS || rest.len() > 4096 {
                        return None;
                    }
                    at.truncate(if target.starts_with('/') { 0 } else { end });
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
            }
        }
        Some(at)
    }

    /// The file that a path leads to: its real path, and where its bytes are.
    pub fn find(&self, path: &str) -> Option<(String, LayerPath)> {
        let real = self.walk(path).filter(|_| path.len() <= PATH)?;
        match self.nodes.get(&real) {
            Some((_, Node::File(place, ..))) => Some((real, place.clone())),
            _ => None,
        }
    }

    /// The permission bits of a file at its real path, where nobody may execute it.
    pub fn not_executable(&self, real: &str) -> Option<u32> {
        match self.nodes.get(real) {
            Some((_, Node::File(_, mode, _))) if mode & 0o111 == 0 => Some(mode & 0o7777),
            _ => None,
        }
    }

    /// The content of a setting.
    pub fn content(&self, path: &str) -> Option<Arc<[u8]>> {
        let real = self.walk(path)?;
        match self.nodes.get(&real) {
            Some((_, Node::File(_, _, content))) => content.clone(),
            _ => None,
        }
    }

    /// The file on disk that one is going to be made from.
    pub fn on_disk(&self, place: &LayerPath) -> Option<&Path> {
        let Layer::Planned(files) = &self.layers[place.layer] else { return None };
        files.iter().find_map(|(_, _, file)| match file {
            Planned::Disk(disk) if *disk == *place.path => Some(disk.as_path()),
            _ => None,
        })
    }

    /// What one of these paths is, where it is there and no file.
    pub fn instead(&self, paths: &[String]) -> Option<String> {
        paths.iter().find_map(|path| {
            if let Some((layer, Node::Link(target))) = self.nodes.get(path.trim_start_matches('/')) {
                return Some(format!("layer {} has a link of that name to {target}, where no file is", layer + 1));
            }
            let real = self.walk(path)?;
            let below = if real.is_empty() { real } else { format!("{real}/") };
            let (_, (layer, _)) = self.nodes.range(below.clone()..).next().filter(|(path, _)| path.starts_with(&below))?;
            Some(format!("layer {} has a directory there", layer + 1))
        })
    }

    /// Which layers have, or had, a file of that name, for people.
    pub fn whereabouts(&self, name: &str) -> String {
        let is_named = |path: &str| name_of(path) == name;
        if let Some((path, (layer, _))) = self.nodes.iter().find(|(path, _)| is_named(path)) {
            return format!("layer {} has /{path}, where nothing looks for it", layer + 1);
        }
        match self.gone.iter().find(|(path, _)| is_named(path)) {
            Some((path, (had, by))) => format!("layer {} has /{path}, and layer {} takes it away", had + 1, by + 1),
            None => "no layer has it".to_owned(),
        }
    }

    /// What a file is; it must have been asked for with [`Root::look`].
    pub fn seen(&self, place: &LayerPath) -> &Look {
        self.looks.get(place).unwrap_or(&Look::Other)
    }

    /// Looks into files, all that one layer holds in one pass.
    pub fn look(&mut self, places: impl IntoIterator<Item = LayerPath>) -> Result<(), Error> {
        let mut wanted: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for place in places {
            if !self.looks.contains_key(&place) {
                wanted.entry(place.layer).or_default().insert(place.path);
            }
        }
        for (number, paths) in wanted {
            if self.looks.len() + paths.len() > LOOKS {
                return Err(Self::too_much());
            }
            let looks = &mut self.looks;
            match &self.layers[number] {
                Layer::Planned(files) => {
                    let is_to_come = |wanted: &String| {
                        let mut found = files.iter().filter(|(path, ..)| path == wanted);
                        found.any(|(_, _, file)| matches!(file, Planned::Bytes(_)))
                    };
                    for path in paths {
                        if is_to_come(&path) {
                            continue;
                        }
                        let disk = Path::new(&path);
                        let mut file = File::open(disk).map_err(FileError::at("read", disk))?;
                        let look = look_into(&mut file).map_err(FileError::at("read", disk))?;
                        looks.insert(LayerPath { layer: number, path }, look);
                    }
                }
                stored @ Layer::Stored { known, .. } => {
                    let mut found = known.as_ref().map(|known| known.looks(&paths)).unwrap_or_default();
                    if paths.iter().any(|path| !found.contains_key(path)) {
                        stored.entries(&mut |entry, body| {
                            if entry.kind == Kind::File && paths.contains(&entry.path) {
                                found.insert(entry.path.clone(), set_aside(entry.size, body)?);
                            }
                            Ok(())
                        })?;
                        if let Some(known) = known {
                            known.remember(&found);
                        }
                    }
                    looks.extend(found.into_iter().map(|(path, look)| (LayerPath { layer: number, path }, look)));
                }
            }
        }
        let kept = self.looks.values().map(Look::weight).sum::<usize>();
        if self.kept + kept > KEPT { Err(Self::too_much()) } else { Ok(()) }
    }

    /// The error for an image that asks for more than is followed.
    pub fn too_much() -> Error {
        too_much(&io::Error::other(TOO_MUCH))
    }
}

const TOO_MUCH: &str = "there are too many programs, libraries and links in it";

fn too_much(error: &io::Error) -> Error {
    Complaint::failed(format!("it cannot be seen whether the image starts: {error}")).into()
}

impl Layer<'_> {
    fn entries(&self, visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>) -> Result<(), Error> {
        let Self::Stored { source, descriptor, compression, diff_id, .. } = self else { return Ok(()) };
        let reader = Box::new(Verified::new(source.open(descriptor)?, descriptor));
        let input = LayerInput { reader, compression: *compression, diff_id: diff_id.clone() };
        read_entries(input, &ExtractOptions::default(), visit)?;
        Ok(())
    }
}

/// Whether a name is one that libraries have.
fn is_library(name: &str) -> bool {
    name.contains(".so")
}
