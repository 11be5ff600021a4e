//! A tree as a layer: a tar, its digest (the *diff id*), and the tar compressed, with the digest of that.
//!
//! The bytes are a function of the tree, the epoch and the compression, and of nothing else: not of the machine, the
//! number of threads, the size of reads and writes, or the order in which entries were added. Format 1 is frozen: golden
//! digests (`fixtures/trees`) and whole images (`fixtures/layouts`) hold it, and other bytes are a format with another number.
//! Its law is written where it is kept:
//!
//! - the order of entries, and which ones there may be: [`crate::layers::tree`]
//! - the tar: `pack/tar.rs`, rules T1 to T8
//! - gzip: `pack/gzip.rs`, rules G1 to G6
//! - zstd: `pack/zstd.rs`, rules Z1 to Z4
//!
//! Everything happens in one pass, and no layer is ever held in memory: a reader thread makes the tar and cuts it into
//! blocks; one thread hashes the blocks while the others compress them; the calling thread puts the results in order,
//! hashes and writes them. Blocks are few and used again, which bounds memory (`pack/block.rs`).

mod block;
mod deflate;
mod error;
mod gzip;
mod output;
mod probe;
mod tar;
mod threads;
mod zstd;

use std::io::Write;
use std::num::NonZeroUsize;
use std::thread;

use serde::Serialize;

use self::block::{Blocks, Cutter};
pub use self::error::LayerError;
use self::output::Output;
use self::threads::{join, spawn};
use crate::layers::tree::Tree;
use crate::progress::{Event, Outcome, Progress};
use crate::values::compression::Compression;
use crate::values::digest::{Digest, Hasher};
use crate::values::epoch::Epoch;

/// The number of the byte format that is written here. It is frozen; whoever changes a byte that is written takes the next.
pub const FORMAT: &str = "1";
/// The annotation of that number.
pub const FORMAT_KEY: &str = "dev.cargo-plugin-build.format";

/// Makes layers.
#[derive(Clone, Copy, Debug)]
pub struct Packer {
    /// How the tar is compressed.
    pub compression: Compression,
    /// The time of every entry.
    pub epoch: Epoch,
    /// How many threads compress. It does not change the bytes.
    pub workers: NonZeroUsize,
}

/// What a layer turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packed {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Digest of what was written.
    pub digest: Digest,
    /// Bytes written.
    pub size: u64,
    /// Bytes of the uncompressed tar.
    pub tar_size: u64,
}

impl Packer {
    /// Writes the layer of `tree` to `out`, once, from front to back. `name` is what a person calls the layer.
    ///
    /// After an error, what `out` holds is worthless.
    pub fn pack(&self, name: &str, tree: &Tree, out: &mut dyn Write, progress: &dyn Progress) -> Result<Packed, LayerError> {
        self.run(name, tar::size(tree, self.epoch), |tar| tar::write(tree, self.epoch, tar), out, progress)
    }

    /// Writes the layer of a tar that is there already, or comes from elsewhere: `write` writes it, `total` bytes of it.
    pub fn repack(
        &self,
        name: &str,
        total: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<(), LayerError> + Send,
        out: &mut dyn Write,
        progress: &dyn Progress,
    ) -> Result<Packed, LayerError> {
        self.run(name, total, |tar| write(tar), out, progress)
    }

    fn run(
        &self,
        name: &str,
        total: u64,
        write: impl FnOnce(&mut Cutter) -> Result<(), LayerError> + Send,
        out: &mut dyn Write,
        progress: &dyn Progress,
    ) -> Result<Packed, LayerError> {
        progress.event(Event::BlobStarted { blob: name.to_owned(), verb: "Compressing", total: Some(total) });
        let most = match self.compression {
            Compression::Gzip => gzip::MAX_WORKERS,
            Compression::Zstd => zstd::MAX_WORKERS,
            Compression::None => 1,
        };
        let workers = self.workers.get().min(most);
        let mut output = Output::new(name, out, progress, self.compression != Compression::None);
        let (diff_id, tar_size) = thread::scope(|scope| {
            let (to_hash, tar) = block::channel();
            let (to_compress, blocks) = block::channel();
            let cutter = Cutter::new(Blocks::new(workers), vec![to_hash, to_compress]);
            let hashing = spawn(scope, "layer-hash", move || hash(&tar))?;
            let reading = spawn(scope, "layer-read", || read(write, cutter))?;
            let written = match self.compression {
                Compression::Gzip => gzip::compress(scope, blocks, workers, &mut output),
                Compression::Zstd => zstd::compress(blocks, workers, &mut output),
                Compression::None => store(blocks, &mut output),
            };
            let read = join(reading);
            let (diff_id, tar_size) = join(hashing);
            written?; // first: that the reader was stopped is only its consequence
            read?;
            Ok::<_, LayerError>((diff_id, tar_size))
        })?;
        let (size, digest) = output.finish()?;
        let digest = digest.unwrap_or_else(|| diff_id.clone());
        progress.event(Event::Compressed { diff_id: diff_id.clone(), digest: digest.clone() });
        progress.event(Event::BlobFinished { blob: name.to_owned(), outcome: Outcome::Copied, bytes: size });
        Ok(Packed { diff_id, digest, size, tar_size })
    }
}

/// The diff id that the layer of `tree` has under every compression, without making it.
pub fn diff_id(tree: &Tree, epoch: Epoch) -> Result<Digest, LayerError> {
    thread::scope(|scope| {
        let (to_hash, tar) = block::channel();
        let cutter = Cutter::new(Blocks::new(1), vec![to_hash]);
        let reading = spawn(scope, "layer-read", || read(|tar| tar::write(tree, epoch, tar), cutter))?;
        let (diff_id, _) = hash(&tar);
        join(reading)?;
        Ok(diff_id)
    })
}

fn read(write: impl FnOnce(&mut Cutter) -> Result<(), LayerError>, mut cutter: Cutter) -> Result<(), LayerError> {
    write(&mut cutter)?;
    cutter.finish()
}

fn hash(tar: &block::Receiver) -> (Digest, u64) {
    let mut hasher = Hasher::new();
    let mut size = 0;
    for block in tar {
        hasher.update(block.data());
        size += block.data().len() as u64;
    }
    (hasher.finish(), size)
}

fn store(blocks: block::Receiver, output: &mut Output) -> Result<(), LayerError> {
    for block in blocks {
        output.put(block.data())?;
        output.advance(block.data().len() as u64);
    }
    Ok(())
}
