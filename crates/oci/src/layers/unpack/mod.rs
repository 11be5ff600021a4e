//! Reading layers: applying them to a directory ([`Extraction`]), finding out whether that would go well ([`Rehearsal`]), or
//! only looking at what is in one of them ([`read_entries`]).
//!
//! Every byte of a layer is hostile. The threats, and what stands against each:
//!
//! | threat | defence | where |
//! |---|---|---|
//! | a link that leads out of the directory | handles and single names; links among parents resolve inside | `root` |
//! | `..`, absolute, empty, NUL in names; `.` as a link (CVE-2021-29136) | refused, never repaired | `names` |
//! | entries that only some readers see | one reading of sizes; everything doubtful refused; all members, no tail | [`untar`](crate::layers::tar), `stream` |
//! | a file replaced by its second occurrence | duplicates in a layer refused | `seen` |
//! | bombs | limits on bytes, ratio, entries, names, depth, windows | `stream`, [`Limits`] |
//! | entries far from one another, long chains of links | a limit on steps from directory to directory | `root`, [`Limits`] |
//! | memory | streaming; capped headers; hashed paths | [`untar`](crate::layers::tar), `seen`, `directories` |
//! | privileges | no devices (other tools' are left out and counted), no FIFOs, no setuid or setgid, no extended attributes at all, no owners | `layer` |
//! | half an image | a hidden directory, renamed when whole; diff ids checked before that | `staging` |
//! | whiteouts that hide the layer's own files | they speak about lower layers only | `layer` |
//!
//! What is applied: content, permission bits whatever the umask, modification times (of directories too), symbolic and
//! hard links. What is not: owners, because files belong to the user who unpacks; extended attributes, because plugins
//! need none and `security.*` must not pass. A directory that no entry describes has mode 0755 and time zero.

mod directories;
mod error;
mod layer;
mod limits;
mod listed;
mod names;
mod read;
mod root;
mod seen;
mod staging;
mod stream;
mod writer;

use std::io::Write;
use std::path::Path;

use serde::Serialize;

pub use error::ExtractError;
pub use limits::{Bound, Exceeded, ExtractOptions, Limits, READ_TOGETHER, Rules, Spent};
pub use listed::Listing;
pub use read::{Entry, Kind, check_listed, list_entries, read_entries, read_raw};
pub use root::remove_tree;
pub use stream::LayerInput;

use crate::layers::tar::{RawEntry, Stream as _};
use crate::values::digest::Digest;
use layer::Tree;
use root::{Handle, shadow::Shadow};
use staging::Staging;
use stream::Pieces;

/// A directory being filled, layer by layer. Nothing is visible before [`Extraction::commit`]; dropping it removes all.
pub struct Extraction {
    // Dropped in this order: handles before the directory that they are in.
    tree: Tree<Handle>,
    staging: Staging,
    options: ExtractOptions,
    unpacked: u64,
    layers: Vec<LayerFacts>,
}

impl Extraction {
    /// Starts to make `target`, which must be missing or an empty directory.
    pub fn begin(target: &Path, options: ExtractOptions) -> Result<Self, ExtractError> {
        let staging = Staging::beside(target)?;
        let disk = |source| ExtractError::disk("open", &staging.path().display().to_string(), source);
        let root = Handle::open(staging.path()).map_err(disk)?;
        let tree = Tree::new(root, options.clone()).map_err(disk)?;
        Ok(Self { tree, staging, options, unpacked: 0, layers: Vec::new() })
    }

    /// Applies the next layer. After an error nothing can become visible any more.
    pub fn apply(self, layer: LayerInput<'_>) -> Result<Self, ExtractError> {
        self.run(layer, &mut |_, _| Ok(()))
    }

    /// The same, and calls `visit` with each of the layer's entries, in archive order.
    pub fn apply_with(self, layer: LayerInput<'_>, visit: &mut dyn FnMut(&Entry)) -> Result<Self, ExtractError> {
        self.run(layer, &mut |raw, options| Entry::of(raw, options).map(|entry| visit(&entry)))
    }

    fn run(
        mut self,
        layer: LayerInput<'_>,
        visit: &mut dyn FnMut(&RawEntry, &ExtractOptions) -> Result<(), ExtractError>,
    ) -> Result<Self, ExtractError> {
        let name = layer.diff_id.as_ref().map_or_else(|| format!("{}", self.layers.len() + 1), Digest::to_string);
        let Self { tree, options, unpacked, .. } = &mut self;
        let applied = stream::run(layer, &options.limits, unpacked, |pieces| tree.apply(pieces, visit));
        let (entries, facts) = applied.map_err(|source| ExtractError::Layer { layer: name, source: Box::new(source) })?;
        self.layers.push(LayerFacts { diff_id: facts.diff_id, tar_size: facts.tar_size, entries });
        Ok(self)
    }

    /// Where it is being filled: under a hidden name, directories not yet as they will be.
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Sets the directories' modes, writes everything to the disk and gives the directory its name.
    pub fn commit(self) -> Result<UnpackReport, ExtractError> {
        let (root, counts) = self.tree.finish()?;
        self.staging.commit(&root)?;
        Ok(UnpackReport { layers: self.layers, counts })
    }
}

/// Layers applied to nothing: what [`Extraction`] would refuse is refused, by the same code, and nothing is written.
pub struct Rehearsal {
    tree: Tree<Shadow>,
    options: ExtractOptions,
    unpacked: u64,
}

impl Rehearsal {
    /// Bytes of tar that were read so far.
    pub const fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// Starts with an empty directory that is only thought of.
    pub fn begin(options: ExtractOptions) -> Result<Self, ExtractError> {
        let tree = Tree::new(Shadow::root(), options.clone()).map_err(|source| ExtractError::disk("open", ".", source))?;
        Ok(Self { tree, options, unpacked: 0 })
    }

    /// Applies the next layer and calls `visit` with each of its entries, in archive order. After an error nothing further
    /// can be said.
    pub fn apply(&mut self, layer: LayerInput<'_>, visit: &mut dyn FnMut(&Entry)) -> Result<LayerFacts, ExtractError> {
        let Self { tree, options, unpacked } = self;
        tree.root().next_layer();
        let mut visit = |raw: &_, options: &_| Entry::of(raw, options).map(|entry| visit(&entry));
        let (entries, facts) = stream::run(layer, &options.limits, unpacked, |pieces| tree.apply(pieces, &mut visit))?;
        Ok(LayerFacts { diff_id: facts.diff_id, tar_size: facts.tar_size, entries })
    }

    /// The same with a layer that was read before.
    pub fn apply_listed(&mut self, layer: &mut dyn Listing, visit: &mut dyn FnMut(&Entry)) -> Result<LayerFacts, ExtractError> {
        let Self { tree, options, unpacked } = self;
        tree.root().next_layer();
        let facts = tree.apply_listed(layer, &mut |raw, options| Entry::of(raw, options).map(|entry| visit(&entry)))?;
        *unpacked += facts.tar_size;
        let allowed = options.limits.unpacked_bytes;
        if *unpacked > allowed {
            return Err(Exceeded { what: Bound::UnpackedBytes, allowed }.into());
        }
        Ok(facts)
    }
}

/// Writes the uncompressed tar of a layer, without looking into it; its diff id is checked at the end. `spent` counts
/// uncompressed bytes over several layers.
pub fn inflate(layer: LayerInput<'_>, limits: &Limits, spent: &mut u64, out: &mut dyn Write) -> Result<(), ExtractError> {
    let write = |pieces: &mut Pieces| {
        let mut pieces = pieces;
        loop {
            let piece = pieces.fill()?;
            let bytes = piece.len();
            if bytes == 0 {
                return Ok(());
            }
            out.write_all(piece).map_err(|source| ExtractError::disk("write", "the layer", source))?;
            pieces.consume(bytes);
        }
    };
    stream::run(layer, limits, spent, write).map(drop)
}

/// What a layer turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerFacts {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Its size in bytes.
    pub tar_size: u64,
    /// Number of its entries, whiteouts included.
    pub entries: u64,
}

/// What was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnpackReport {
    /// The layers, lowest first.
    pub layers: Vec<LayerFacts>,
    /// What was in them.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Numbers of entries over all layers, replaced ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Regular files.
    #[serde(rename = "regular_files")]
    pub files: u64,
    /// Directories with an entry of their own.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Hard links.
    pub hard_links: u64,
    /// Whiteouts, opaque ones included.
    pub whiteouts: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Entries that lost a setuid or setgid bit.
    pub dropped_modes: u64,
    /// Extended attributes that were not set.
    pub dropped_xattrs: u64,
    /// Device nodes that were not made.
    pub dropped_devices: u64,
}
