//! A layer as zstd.
//!
//! The law of format 1:
//!
//! - **Z1** One frame, never a skippable one first (one consumer then extracts nothing), with a content checksum and
//!   without a content size.
//! - **Z2** libzstd at [`LEVEL`], its multithreaded compressor even for one worker: jobs of [`JOB`] bytes, each primed with
//!   the 512 KiB before it ([`OVERLAP`]). The cuts depend on the size of a job alone, not on the number of workers or of writes.
//! - **Z3** The end is told by a call of its own, without input: a last call with input would end the last job elsewhere.
//! - **Z4** The version of libzstd belongs to the format; golden digests fail when anything shifts.

use std::io::{self, Write};

use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

use super::LayerError;
use super::block;
use super::output::Output;

/// More threads are not used: with their buffers the process would take more than 32 MiB.
pub(super) const MAX_WORKERS: usize = 3;

/// libzstd's level: 1% to 2% smaller than 3 for a quarter more time; 5 is 2% to 8% smaller again, but takes twice as long.
const LEVEL: i32 = 4;

/// Bytes of the tar that one job compresses.
const JOB: u32 = 1024 * 1024;

/// How much of that level's window of 2 MiB a job looks back: a quarter (9 would be all of it, 8 half).
const OVERLAP: u32 = 7;

/// Compresses the blocks, in order, on `workers` threads.
pub(super) fn compress(blocks: block::Receiver, workers: usize, output: &mut Output) -> Result<(), LayerError> {
    let failed = |source| LayerError::Compress { source };
    let mut encoder = Encoder::new(output, LEVEL).map_err(failed)?;
    configure(&mut encoder, workers).map_err(failed)?;
    for block in blocks {
        encoder.write_all(block.data()).map_err(|source| LayerError::Write { source })?;
        encoder.get_ref().advance(block.data().len() as u64);
    }
    encoder.finish().map(drop).map_err(|source| LayerError::Write { source })
}

fn configure<W: Write>(encoder: &mut Encoder<'_, W>, workers: usize) -> io::Result<()> {
    encoder.include_checksum(true)?;
    encoder.set_parameter(CParameter::NbWorkers(u32::try_from(workers).unwrap_or(1)))?;
    encoder.set_parameter(CParameter::JobSize(JOB))?;
    encoder.set_parameter(CParameter::OverlapSizeLog(OVERLAP))
}
