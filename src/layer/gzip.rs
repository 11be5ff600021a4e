//! A layer as gzip.
//!
//! The law of format 1:
//!
//! - **G1** One member (some readers silently stop after the first). Its header is `1f 8b 08 00`, MTIME 0, XFL 0, OS 255.
//! - **G2** The tar is cut into blocks of 256 KiB. Each is compressed on its own by zlib-rs at [`LEVEL`], as raw DEFLATE
//!   in one call, primed with the 32 KiB before it, and ended by a sync flush, so that it ends on a byte.
//! - **G3** A block that looks like noise (`layer/probe.rs`), or that would not get smaller, is stored: as stored
//!   DEFLATE blocks of 65535 bytes, the last one shorter.
//! - **G4** The blocks follow each other in order.
//! - **G5** An empty final block with fixed codes (`03 00`) ends the DEFLATE stream.
//! - **G6** CRC-32 and size modulo 2^32 of the whole tar end the member.
//!
//! A block's bytes depend on that block and the 32 KiB before it alone, so one thread and many give the same bytes. For
//! that the compressor is made anew for each block: a reset one remembers, and gave six different layers in six runs. zlib-rs may change its output between releases: its version belongs to the
//! format, is pinned exactly, and golden digests fail when anything shifts.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

use flate2::{Compress, Compression, Crc, FlushCompress};

use super::LayerError;
use super::block::{self, Block, Shared};
use super::output::Output;
use super::probe;
use super::threads::spawn;

/// More threads are not used: with their buffers the process would take more than 32 MiB.
pub(super) const MAX_WORKERS: usize = 5;

/// zlib-rs's level: 1.5% (code) to 3.4% (text) smaller than 4 for a tenth more time; 6 costs a quarter more for 0.2% to 0.9%.
const LEVEL: u32 = 5;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
const FINAL_BLOCK: [u8; 2] = [3, 0];

/// The most that a stored DEFLATE block holds.
const STORED: u16 = u16::MAX;

/// A block on its way to a worker, with memory for the result, and the way back.
struct Job {
    block: Shared,
    bytes: Vec<u8>,
    done: SyncSender<io::Result<Part>>,
}

/// A block's part of the member.
struct Part {
    bytes: Vec<u8>,
    crc: Crc,
}

/// Compresses the blocks on `workers` threads and puts them out in order.
pub(super) fn compress<'scope>(
    scope: &'scope Scope<'scope, '_>,
    blocks: block::Receiver,
    workers: usize,
    output: &mut Output,
) -> Result<(), LayerError> {
    let (jobs, taken) = mpsc::channel::<Job>();
    let taken = Arc::new(Mutex::new(taken));
    for _ in 0..workers {
        let taken = Arc::clone(&taken);
        spawn(scope, "layer-gzip", move || work(&taken))?;
    }
    let mut member = Member { output, crc: Crc::new(), waiting: VecDeque::new(), spare: Vec::new() };
    member.output.put(&HEADER)?;
    for block in blocks {
        if member.waiting.len() == 2 * workers {
            member.put_next()?;
        }
        let (done, part) = mpsc::sync_channel(1);
        let bytes = member.spare.pop().unwrap_or_else(|| Vec::with_capacity(stored_size(block::BLOCK)));
        jobs.send(Job { block, bytes, done }).map_err(|_| LayerError::Stopped)?;
        member.waiting.push_back(part);
    }
    while !member.waiting.is_empty() {
        member.put_next()?;
    }
    member.output.put(&FINAL_BLOCK)?;
    member.output.put(&member.crc.sum().to_le_bytes())?;
    member.output.put(&member.crc.amount().to_le_bytes())
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let Ok(job) = jobs.lock().map_or(Err(mpsc::RecvError), |jobs| jobs.recv()) else { return };
        let part = compressed(&job.block, job.bytes);
        drop(job.block); // before the part is awaited: the reader may be waiting for its memory
        if job.done.send(part).is_err() {
            return; // the layer failed
        }
    }
}

/// What is out, and what is still being compressed.
struct Member<'a, 'b> {
    output: &'a mut Output<'b>,
    crc: Crc,
    waiting: VecDeque<Receiver<io::Result<Part>>>,
    spare: Vec<Vec<u8>>,
}

impl Member<'_, '_> {
    fn put_next(&mut self) -> Result<(), LayerError> {
        let Some(part) = self.waiting.pop_front() else { return Ok(()) };
        let part = part.recv().map_err(|_| LayerError::Stopped)?.map_err(|source| LayerError::Compress { source })?;
        self.output.put(&part.bytes)?;
        self.crc.combine(&part.crc);
        self.output.advance(u64::from(part.crc.amount()));
        self.spare.push(part.bytes);
        Ok(())
    }
}

fn compressed(block: &Block, mut bytes: Vec<u8>) -> io::Result<Part> {
    let data = block.data();
    if probe::is_noise(data) || !deflate(block, &mut bytes)? {
        store(data, &mut bytes);
    }
    let mut crc = Crc::new();
    crc.update(data);
    Ok(Part { bytes, crc })
}

/// Deflates into `bytes`; says whether the result is smaller than a stored block.
fn deflate(block: &Block, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut deflater = Compress::new(Compression::new(LEVEL), false);
    if !block.before().is_empty() {
        deflater.set_dictionary(block.before())?;
    }
    bytes.resize(stored_size(block.data().len()), 0);
    deflater.compress(block.data(), bytes, FlushCompress::Sync)?;
    match usize::try_from(deflater.total_out()) {
        Ok(size) if size < bytes.len() => {
            bytes.truncate(size);
            Ok(true)
        }
        _ => Ok(false), // full: perhaps there was more to come
    }
}

fn stored_size(size: usize) -> usize {
    size + 5 * size.div_ceil(usize::from(STORED))
}

fn store(data: &[u8], bytes: &mut Vec<u8>) {
    bytes.clear();
    for chunk in data.chunks(usize::from(STORED)) {
        let size = u16::try_from(chunk.len()).unwrap_or(STORED);
        bytes.push(0); // not final, stored
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&(!size).to_le_bytes());
        bytes.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::block::{BLOCK, Blocks, Cutter};

    fn blocks(tar: &[u8]) -> Vec<Shared> {
        let (to, blocks) = block::channel();
        let mut cutter = Cutter::new(Blocks::new(8), vec![to]);
        cutter.put(tar).unwrap();
        cutter.finish().unwrap();
        blocks.iter().collect()
    }

    fn part(block: &Block) -> Vec<u8> {
        compressed(block, vec![7; 3]).unwrap().bytes
    }

    #[test]
    fn a_block_that_would_not_shrink_is_stored_in_pieces_of_65535() {
        let noise = probe::tests::noise(BLOCK + 5);
        let blocks = blocks(&noise);
        let stored = part(&blocks[0]);
        assert_eq!(stored.len(), BLOCK + 5 * 5);
        assert_eq!(stored[..5], [0, 0xff, 0xff, 0, 0]);
        assert_eq!(stored[5..70], noise[..65]);
        assert_eq!(stored[4 * 65540..][..5], [0, 4, 0, 0xfb, 0xff]);
        assert_eq!(part(&blocks[1])[..5], [0, 5, 0, 0xfa, 0xff], "too short for the probe, but no smaller when deflated");
    }

    #[test]
    fn a_block_that_shrinks_ends_on_a_byte_and_leans_on_the_one_before() {
        let text: Vec<u8> = probe::tests::noise(BLOCK).iter().map(|byte| b'a' + byte % 16).collect();
        let again = [&text[..], &text[BLOCK - 30_000..]].concat();
        let (again, alone) = (blocks(&again), blocks(&text[BLOCK - 30_000..]));
        assert!(part(&again[0]).ends_with(&[0, 0, 0xff, 0xff]));
        assert!(part(&again[1]).ends_with(&[0, 0, 0xff, 0xff]));
        assert!(part(&again[1]).len() * 20 < part(&alone[0]).len());
    }

    #[test]
    fn a_block_does_not_depend_on_what_was_compressed_before_it() {
        let code: Vec<u8> = probe::tests::noise(8 * BLOCK).iter().map(|byte| byte & (byte >> 3)).collect();
        let blocks = blocks(&code);
        let forwards: Vec<_> = blocks.iter().map(|block| part(block)).collect();
        let mut backwards: Vec<_> = blocks.iter().rev().map(|block| part(block)).collect();
        backwards.reverse();
        assert!(forwards == backwards);
    }
}
