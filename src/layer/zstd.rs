//! A layer as zstd.
//!
//! The law of format 1:
//!
//! - **Z1** One frame, never a skippable one first (one consumer then extracts nothing), with a content checksum and
//!   without a content size.
//! - **Z2** libzstd at [`LEVEL`], its multithreaded compressor even for one worker: jobs of [`JOB`] bytes, each primed with
//!   what that level overlaps. The cuts depend on the size of a job alone, not on the number of workers or of writes.
//! - **Z3** The end is told by a call of its own, without input: a last call with input would end the last job elsewhere.
//! - **Z4** The version of libzstd belongs to the format; golden digests fail when anything shifts.

use std::io::{self, Write};

use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

use super::LayerError;
use super::block;
use super::output::Output;

/// libzstd's level.
const LEVEL: i32 = 3;

/// Bytes of the tar that one job compresses.
const JOB: u32 = 1024 * 1024;

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
    encoder.set_parameter(CParameter::JobSize(JOB))
}
