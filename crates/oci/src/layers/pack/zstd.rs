//! A layer as zstd.
//!
//! The law of format 1:
//!
//! - **Z1** One frame, never a skippable one first (one consumer then extracts nothing), with a content checksum and
//!   without a content size.
//! - **Z2** libzstd at [`LEVEL`], its multithreaded compressor even for one worker: jobs of [`JOB`] bytes, each primed with
//!   the 256 KiB before it ([`OVERLAP`]). The cuts depend on the size of a job alone, not on the number of workers or of writes.
//! - **Z3** The end is told by a call of its own, without input: a last call with input would end the last job elsewhere.
//! - **Z4** The version of libzstd belongs to the format; golden digests fail when anything shifts.

use std::io::{self, Write};

use zstd::stream::raw;
use zstd::stream::write::Encoder;
use zstd::stream::zio::Writer;
use zstd::zstd_safe::CParameter;

use super::LayerError;
use super::block;
use super::output::Output;

/// More threads are not used: with their buffers the process would take more than 32 MiB.
pub(super) const MAX_WORKERS: usize = 3;

/// libzstd's level: 4 is 1.2% (mixed files) to 1.7% (code) smaller for a quarter more time, 5 is 5% smaller for twice the time.
const LEVEL: i32 = 3;

/// Bytes of the tar that one job compresses.
const JOB: u32 = 1024 * 1024;

/// How much of that level's window of 2 MiB a job looks back: an eighth. A quarter takes 5% more time for 0.2% less, as each job reads it again.
const OVERLAP: u32 = 6;

/// Bytes of the frame that are written at once. The crate's 32 KiB cost a tenth of the time in the kernel.
const PIECE: usize = 256 * 1024;

/// Compresses the blocks, in order, on `workers` threads.
pub(super) fn compress(blocks: block::Receiver, workers: usize, output: &mut Output) -> Result<(), LayerError> {
    let failed = |source| LayerError::Compress { source };
    let writer = Writer::new_with_capacity(output, raw::Encoder::new(LEVEL).map_err(failed)?, PIECE);
    let mut encoder = Encoder::with_writer(writer);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::pack::block::{Blocks, Cutter};
    use crate::progress::Silent;

    fn frame(tar: &[u8], workers: usize) -> Vec<u8> {
        let (to, blocks) = block::channel();
        let mut cutter = Cutter::new(Blocks::new(16), vec![to]);
        cutter.put(tar).unwrap();
        cutter.finish().unwrap();
        let mut bytes = Vec::new();
        compress(blocks, workers, &mut Output::new("layer", &mut bytes, &Silent, true)).unwrap();
        bytes
    }

    #[test]
    fn a_frame_has_a_checksum_and_no_content_size() {
        let frame = frame(b"some tar", 1);
        assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
        assert_eq!(frame[4], 0b0000_0100, "no size, a window descriptor, a checksum, no dictionary");
        assert_eq!(zstd::decode_all(&*frame).unwrap(), b"some tar");
    }

    #[test]
    fn a_tar_that_ends_with_a_job_is_the_same_for_any_number_of_workers() {
        for size in [1 << 20, (1 << 20) - 1, 2 << 20, 5 << 19] {
            let tar: Vec<u8> = b"plugin\n".iter().copied().cycle().take(size).collect();
            assert!(frame(&tar, 1) == frame(&tar, 3), "{size}");
        }
    }
}
