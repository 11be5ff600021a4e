//! A block of the tar as DEFLATE (RFC 1951) that more can follow.
//!
//! libdeflate makes whole streams only: the last of their DEFLATE blocks says that it is final, and they may end inside a
//! byte. A [`Deflater`] opens such a stream, as zlib's example `gzjoin` does: it clears the final bit and adds an empty
//! stored block, which ends on a byte as a sync flush would. Where the last block begins, only a walk through the stream
//! tells (`pack/deflate/walk.rs`), at a seventh of the compressor's cost. The two together take six tenths of the time
//! that zlib-rs, which can end a stream on a byte by itself, takes for output of the same size.

mod code;
mod walk;

use std::io;

use libdeflater::{CompressionError, CompressionLvl, Compressor};

use self::walk::Walker;

/// How long to search for matches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effort {
    /// libdeflate's level 2. On an executable, 3 takes 5% longer for 0.6% less, 4 takes 9% longer for 1%.
    Low,
    /// libdeflate's level 6. On sources, 5 takes two thirds of the time for 1.7% more, 7 a fifth longer for 1% less.
    High,
}

impl Effort {
    fn compressor(self) -> Compressor {
        let level = match self {
            Self::Low => 2,
            Self::High => 6,
        };
        Compressor::new(CompressionLvl::new(level).expect("libdeflate has levels 0 to 12"))
    }
}

/// The most that a stored DEFLATE block holds.
const STORED: u16 = u16::MAX;

/// Bytes that the empty stored block takes at most.
const FLUSH: usize = 5;

/// Compresses blocks, one after the other; each as if it were the only one.
pub(super) struct Deflater {
    low: Compressor,
    high: Compressor,
    walker: Walker,
}

impl Deflater {
    /// A deflater.
    pub(super) fn new() -> Self {
        Self { low: Effort::Low.compressor(), high: Effort::High.compressor(), walker: Walker::new() }
    }

    /// Makes `bytes` the block deflated; says whether that is smaller than the block stored. If it is not, `bytes` is
    /// worthless.
    pub(super) fn deflate(&mut self, block: &[u8], effort: Effort, bytes: &mut Vec<u8>) -> io::Result<bool> {
        bytes.resize(stored_size(block.len()), 0);
        let Some(room) = bytes.len().checked_sub(FLUSH) else { return Ok(false) };
        let compressor = match effort {
            Effort::Low => &mut self.low,
            Effort::High => &mut self.high,
        };
        let size = match compressor.deflate_compress(block, &mut bytes[..room]) {
            Ok(size) => size,
            Err(CompressionError::InsufficientSpace) => return Ok(false),
        };
        bytes.truncate(size);
        self.open(bytes)?;
        Ok(true)
    }

    /// Turns a whole stream into one that more can follow.
    fn open(&mut self, stream: &mut Vec<u8>) -> io::Result<()> {
        let walked = self.walker.walk(stream).filter(|walked| walked.end.div_ceil(8) == stream.len());
        let walked = walked.ok_or_else(|| io::Error::other("libdeflate made a stream that ends elsewhere"))?;
        stream[walked.last_block / 8] &= !(1 << (walked.last_block % 8));
        // Its three bits of header are zero, like those that fill the byte; then its length, and the length inverted.
        stream.resize((walked.end + 3).div_ceil(8), 0);
        stream.extend_from_slice(&[0, 0, 0xff, 0xff]);
        Ok(())
    }
}

/// The size of a block of this size when stored.
pub(super) fn stored_size(size: usize) -> usize {
    size + 5 * size.div_ceil(usize::from(STORED))
}

/// Makes `bytes` the block stored.
pub(super) fn store(block: &[u8], bytes: &mut Vec<u8>) {
    bytes.clear();
    for chunk in block.chunks(usize::from(STORED)) {
        let size = u16::try_from(chunk.len()).unwrap_or(STORED);
        bytes.push(0); // not final, stored
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&(!size).to_le_bytes());
        bytes.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;
    use crate::layers::pack::probe::tests::noise;

    fn deflated(block: &[u8]) -> Vec<u8> {
        let mut bytes = vec![7; 3];
        let effort = if block.len().is_multiple_of(2) { Effort::Low } else { Effort::High };
        if !Deflater::new().deflate(block, effort, &mut bytes).unwrap() {
            store(block, &mut bytes);
        }
        bytes
    }

    fn inflated(parts: &[&[u8]]) -> Vec<u8> {
        let stream = [&parts.concat()[..], &[3, 0]].concat();
        let mut decoder = flate2::bufread::DeflateDecoder::new(&stream[..]);
        let mut bytes = Vec::new();
        decoder.read_to_end(&mut bytes).unwrap();
        assert_eq!(decoder.total_in(), stream.len() as u64, "all of it was one stream");
        bytes
    }

    /// Bytes that DEFLATE splits into blocks of every kind: text, noise, and runs.
    fn motley() -> Vec<u8> {
        let text: Vec<u8> = noise(60_000).iter().map(|byte| b'a' + byte % 7 * (byte >> 6)).collect();
        [&text[..], &noise(70_000), &[b'x'; 5_000], b"plugin", &text[..20_000], &noise(300)].concat()
    }

    #[test]
    fn a_deflated_block_ends_on_a_byte_and_another_can_follow() {
        let (first, second) = (motley(), b"name = \"plugin\"\n".repeat(20));
        let parts = [deflated(&first), deflated(&second), deflated(&first[..70_000])];
        assert!(parts.iter().all(|part| part.ends_with(&[0, 0, 0xff, 0xff])));
        assert!(parts[0].len() < first.len() * 9 / 10);
        assert!(inflated(&[&parts[0], &parts[1], &parts[2]]) == [&first[..], &second, &first[..70_000]].concat());
    }

    #[test]
    fn a_block_that_would_not_shrink_is_not_deflated() {
        let mut bytes = Vec::new();
        for block in [&noise(100_000)[..], b"", b"x"] {
            assert!(!Deflater::new().deflate(block, Effort::Low, &mut bytes).unwrap(), "{}", block.len());
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(alphabet in 1..=255_u8, size in 0..90_000_usize, run in 1..40_usize) {
            let block: Vec<u8> = noise(size).iter().enumerate().map(|(at, byte)| byte % alphabet * u8::from(at % run != 0)).collect();
            let part = deflated(&block);
            prop_assert!(inflated(&[&part, &part]) == [&block[..], &block].concat());
        }

        #[test]
        fn no_stream_is_too_strange_to_walk(strange in prop::collection::vec(any::<u8>(), 0..200), at in any::<usize>()) {
            let mut walker = Walker::new();
            walker.walk(&strange); // says what it says, but comes back
            let open = deflated(&motley()[..50_000]);
            let mut stream = [&open[..], &[3, 0]].concat();
            let last_block = open.len() * 8;
            prop_assert_eq!(walker.walk(&stream), Some(walk::Walked { last_block, end: last_block + 10 }));
            prop_assert_eq!(walker.walk(&stream[..at % stream.len()]), None);
            let bit = at % last_block;
            stream[bit / 8] ^= 1 << (bit % 8);
            walker.walk(&stream);
        }
    }
}
