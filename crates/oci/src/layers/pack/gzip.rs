//! A layer as gzip.
//!
//! The law of format 1:
//!
//! - **G1** One member (some readers silently stop after the first). Its header is `1f 8b 08 00`, MTIME 0, XFL 0, OS 255.
//! - **G2** The tar is cut into blocks of 256 KiB. Each is compressed on its own by libdeflate, as raw DEFLATE in one call, at
//!   one level where it looks like text, at another elsewhere, and then made one that more can follow: no final bit, and
//!   an empty stored block at its end (`pack/deflate/mod.rs`).
//! - **G3** A block that looks like noise (`pack/probe.rs`), or that would not get smaller, is stored: as stored
//!   DEFLATE blocks of 65535 bytes, the last one shorter.
//! - **G4** The blocks follow each other in order.
//! - **G5** An empty final block with fixed codes (`03 00`) ends the DEFLATE stream.
//! - **G6** CRC-32 and size modulo 2^32 of the whole tar end the member.
//!
//! A block's bytes depend on that block alone, so one thread and many give the same bytes, on any processor. libdeflate may
//! change its output between releases: its version belongs to the format, is pinned exactly, and golden digests fail when
//! anything shifts.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

use flate2::Crc;

use super::LayerError;
use super::block::{self, Shared};
use super::deflate::{self, Deflater, Effort};
use super::output::Output;
use super::probe::{self, Look};
use super::threads::spawn;

/// More threads are not used: with their buffers the process would take more than 32 MiB.
pub(super) const MAX_WORKERS: usize = 5;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
const FINAL_BLOCK: [u8; 2] = [3, 0];

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
        let bytes = member.spare.pop().unwrap_or_else(|| Vec::with_capacity(deflate::stored_size(block::BLOCK)));
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
    let mut deflater = Deflater::new();
    loop {
        let Ok(job) = jobs.lock().map_or(Err(mpsc::RecvError), |jobs| jobs.recv()) else { return };
        let part = compressed(job.block.data(), &mut deflater, job.bytes);
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

fn compressed(block: &[u8], deflater: &mut Deflater, mut bytes: Vec<u8>) -> io::Result<Part> {
    let smaller = match probe::look(block) {
        Look::Noise => false,
        Look::Text => deflater.deflate(block, Effort::High, &mut bytes)?,
        Look::Other => deflater.deflate(block, Effort::Low, &mut bytes)?,
    };
    if !smaller {
        deflate::store(block, &mut bytes);
    }
    let mut crc = Crc::new();
    crc.update(block);
    Ok(Part { bytes, crc })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::pack::block::{BLOCK, Blocks, Cutter};

    fn blocks(tar: &[u8]) -> Vec<Shared> {
        let (to, blocks) = block::channel();
        let mut cutter = Cutter::new(Blocks::new(8), vec![to]);
        cutter.put(tar).unwrap();
        cutter.finish().unwrap();
        blocks.iter().collect()
    }

    fn part(block: &Shared) -> Vec<u8> {
        compressed(block.data(), &mut Deflater::new(), vec![7; 3]).unwrap().bytes
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
    fn a_block_does_not_depend_on_what_was_compressed_before_it() {
        let code: Vec<u8> = probe::tests::noise(8 * BLOCK).iter().map(|byte| byte & (byte >> 3)).collect();
        let blocks = blocks(&code);
        let alone: Vec<_> = blocks.iter().map(part).collect();
        let mut deflater = Deflater::new();
        let again = blocks.iter().rev().map(|block| compressed(block.data(), &mut deflater, Vec::new()).unwrap().bytes);
        assert!(again.eq(alone.into_iter().rev()));
    }
}
