//! The layers of what is installed: a delta can be applied to them though only their files are kept.
//!
//! The tar of a layer of ours is a function of its files and their time ([`plugin_oci::layers::pack`]), so it is made again of
//! what lies there, and its diff id tells whether it is the same. Files that were changed, and layers that others made, are
//! no base for anything.

use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::survey::{Item, Survey};
use plugin_oci::deltas::{Bases, DeltaError};
use plugin_oci::layers::pack::Packer;
use plugin_oci::layers::tree::{Mode, Tree, TreeError};
use plugin_oci::layers::unpack::{Entry, Kind, Limits};
use plugin_oci::progress::Silent;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::epoch::Epoch;

/// A layer as it was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Laid {
    /// Digest of its tar.
    pub diff_id: Digest,
    /// The time of its entries, in seconds since 1970.
    pub time: u64,
    /// What it has.
    pub paths: Vec<String>,
}

impl Laid {
    /// Notes an entry; `false` where no tar of ours could have it.
    pub fn note(&mut self, entry: &Entry) -> bool {
        let time = u64::try_from(entry.mtime).ok().filter(|time| self.paths.is_empty() || *time == self.time);
        self.time = time.unwrap_or_default();
        self.paths.push(entry.path.clone());
        time.is_some() && matches!(entry.kind, Kind::File | Kind::Directory | Kind::Symlink { .. })
    }
}

/// What of an installation can be a base.
pub struct LaidBases<'a> {
    /// Where it lies.
    pub root: PathBuf,
    /// Its layers.
    pub layers: &'a [Laid],
    /// Its files.
    pub files: &'a Survey,
}

impl LaidBases<'_> {
    fn tree(&self, layer: &Laid) -> Result<Tree, TreeError> {
        let mut tree = Tree::builder();
        for path in &layer.paths {
            match self.files.get(path) {
                Some(Item::Directory { .. }) => tree.directory(path)?,
                Some(Item::File { mode, .. }) => tree.disk(path, Mode::of_bits(*mode), &self.root.join(path))?,
                Some(Item::Symlink { target }) => tree.symlink(path, target)?,
                Some(Item::Other) | None => {}
            }
        }
        tree.finish()
    }
}

impl Bases for LaidBases<'_> {
    fn has(&self, diff_id: &Digest) -> bool {
        self.layers.iter().any(|layer| layer.diff_id == *diff_id)
    }

    fn write(&self, diff_id: &Digest, _: &Limits, out: &mut dyn Write) -> Result<bool, DeltaError> {
        let Some(layer) = self.layers.iter().find(|layer| layer.diff_id == *diff_id) else { return Ok(false) };
        let (Ok(tree), Ok(epoch)) = (self.tree(layer), Epoch::parse(&layer.time.to_string())) else { return Ok(false) };
        let packer = Packer { compression: Compression::None, epoch, workers: std::num::NonZeroUsize::MIN };
        Ok(packer.pack("base", &tree, out, &Silent)?.diff_id == *diff_id)
    }
}
