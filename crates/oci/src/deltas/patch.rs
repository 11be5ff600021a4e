//! The bytes of a patch: how one tar is made of another. `docs/src/reference/deltas.md` is the law of version 1.
//!
//! Threats, each met before a byte is made: *sizes* (what is made is bounded by [`Limits`] and by the layer's own size, as
//! unpacking is), *places outside the base*, *records that make nothing*, *numbers without end*, *a window that takes all
//! memory* (8 MiB at most), *bytes behind the end*. What is made is hashed by whoever asked for it.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use zstd::stream::read::Decoder;

use super::DeltaError;
use super::matching::steps;
use crate::layers::unpack::{Bound, Exceeded, Limits};

/// What every patch of version 1 starts with.
const MAGIC: [u8; 8] = *b"plgdlta1";
/// The highest at which a patch of a small change takes no longer than finding it.
const LEVEL: i32 = 19;
/// Inserted bytes above which another level is taken: that one reads three megabytes a second.
const SLOW: usize = 3 << 20;
const FAST_LEVEL: i32 = 12;
/// Base two logarithm of the largest window.
const WINDOW_LOG: u32 = 23;
/// Bytes that are made at once.
const PIECE: usize = 64 << 10;

const OUTSIDE: DeltaError = DeltaError::Malformed("a difference lies outside its record");

/// Makes the patch that makes `new` of `base`. Neither level has a window above [`WINDOW_LOG`].
pub(super) fn write(base: &[u8], new: &[u8]) -> io::Result<Vec<u8>> {
    let steps = steps(base, new);
    let inserted: usize = steps.iter().map(|step| step.inserted.len()).sum();
    let mut content = MAGIC.to_vec();
    content.extend((base.len() as u64).to_le_bytes());
    content.extend((new.len() as u64).to_le_bytes());
    let mut reached = 0_usize;
    for step in steps {
        let there = (step.from as u64).wrapping_sub(reached as u64).cast_signed();
        put_number(&mut content, ((there << 1) ^ (there >> 63)).cast_unsigned());
        put_number(&mut content, step.copied.len() as u64);
        put_number(&mut content, step.inserted.len() as u64);
        let mut equal = 0;
        for (old, new) in base[step.from..].iter().zip(&new[step.copied.clone()]) {
            if old == new {
                equal += 1;
            } else {
                put_number(&mut content, equal);
                content.push(new.wrapping_sub(*old));
                equal = 0;
            }
        }
        put_number(&mut content, equal);
        content.extend_from_slice(&new[step.inserted]);
        reached = step.from + step.copied.len();
    }
    zstd::bulk::compress(&content, if inserted > SLOW { FAST_LEVEL } else { LEVEL })
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// A patch that is being read.
pub struct Patch<R: Read> {
    records: BufReader<Decoder<'static, BufReader<R>>>,
    piece: Vec<u8>,
    base_size: u64,
    /// Bytes of the tar that it makes.
    pub size: u64,
}

impl<R: Read> Patch<R> {
    /// Reads the head of a patch for a layer that has `layer_size` bytes as it is stored.
    pub fn open(patch: R, layer_size: u64, limits: &Limits) -> Result<Self, DeltaError> {
        let mut decoder = Decoder::new(patch).map_err(DeltaError::unread)?;
        decoder.window_log_max(WINDOW_LOG).map_err(DeltaError::unread)?;
        let mut records = BufReader::with_capacity(PIECE, decoder);
        let mut head = [[0; 8]; 3];
        for field in &mut head {
            records.read_exact(field).map_err(DeltaError::unread)?;
        }
        let [magic, base_size, size] = head;
        if magic != MAGIC {
            return Err(DeltaError::Malformed("it does not start as a patch does"));
        }
        let (base_size, size) = (u64::from_le_bytes(base_size), u64::from_le_bytes(size));
        if size.max(base_size) > limits.unpacked_bytes {
            return Err(Exceeded { what: Bound::UnpackedBytes, allowed: limits.unpacked_bytes }.into());
        }
        if size > limits.ratio_from && size / limits.ratio.max(1) > layer_size {
            return Err(Exceeded { what: Bound::Ratio, allowed: limits.ratio }.into());
        }
        Ok(Self { records, piece: vec![0; PIECE], base_size, size })
    }

    /// Makes the tar of its base.
    pub fn apply<B: Read + Seek>(mut self, mut base: B, out: &mut dyn Write) -> Result<(), DeltaError> {
        if base.seek(SeekFrom::End(0)).map_err(DeltaError::base)? != self.base_size {
            return Err(DeltaError::Malformed("it is for a base of another size"));
        }
        let mut base = BufReader::with_capacity(PIECE, base);
        base.seek(SeekFrom::Start(0)).map_err(DeltaError::base)?;
        let (mut position, mut left) = (0_u64, self.size);
        while left > 0 {
            let there = self.number()?;
            let there = (there >> 1).cast_signed() ^ -(there & 1).cast_signed();
            let (copied, inserted) = (self.number()?, self.number()?);
            let made = copied.checked_add(inserted).filter(|made| *made > 0 && *made <= left);
            left -= made.ok_or(DeltaError::Malformed("a record makes nothing, or more than there is to make"))?;
            let from = position.checked_add_signed(there);
            let end = from.and_then(|from| from.checked_add(copied)).filter(|end| *end <= self.base_size);
            position = end.ok_or(DeltaError::Malformed("a record reads outside the base"))?;
            base.seek_relative(there).map_err(DeltaError::base)?;
            self.copy(&mut base, copied, out)?;
            io::copy(&mut Read::by_ref(&mut self.records).take(inserted), out)
                .map_err(DeltaError::unread)
                .and_then(|got| if got == inserted { Ok(()) } else { Err(DeltaError::ended()) })?;
        }
        match self.records.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => Err(DeltaError::Malformed("something follows its end")),
            Err(error) => Err(DeltaError::unread(error)),
        }
    }

    /// Copies bytes of the base with their differences.
    fn copy(&mut self, base: &mut impl Read, copied: u64, out: &mut dyn Write) -> Result<(), DeltaError> {
        // Where in the record the next difference is.
        let mut next = self.number()?;
        if next > copied {
            return Err(OUTSIDE);
        }
        let mut at = 0;
        while at < copied {
            let length = usize::try_from(copied - at).map_or(PIECE, |left| left.min(PIECE));
            base.read_exact(&mut self.piece[..length]).map_err(DeltaError::base)?;
            let end = at + length as u64;
            while next < end {
                let here = usize::try_from(next - at).unwrap_or(usize::MAX);
                self.piece[here] = self.piece[here].wrapping_add(self.byte()?);
                next = self.number()?.checked_add(next + 1).filter(|next| *next <= copied).ok_or(OUTSIDE)?;
            }
            out.write_all(&self.piece[..length]).map_err(DeltaError::unwritten)?;
            at = end;
        }
        Ok(())
    }

    /// A number in groups of seven bits, the lowest first.
    fn number(&mut self) -> Result<u64, DeltaError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(DeltaError::Malformed("a number has more than 64 bits"))
    }

    fn byte(&mut self) -> Result<u8, DeltaError> {
        let byte = *self.records.fill_buf().map_err(DeltaError::unread)?.first().ok_or_else(DeltaError::ended)?;
        self.records.consume(1);
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn applied(base: &[u8], patch: &[u8]) -> Result<Vec<u8>, DeltaError> {
        let mut made = Vec::new();
        Patch::open(patch, 1 << 20, &Limits::default())?.apply(Cursor::new(base), &mut made)?;
        Ok(made)
    }

    #[test]
    fn a_patch_of_version_1_has_these_bytes() {
        let base = [&b"The quick brown fox jumps over the lazy dog. "[..], &[7; 300]].concat();
        let mut new = [b"New: ", &base[..]].concat();
        new[12] ^= 3;
        let patch = write(&base, &new).unwrap();
        let content = zstd::decode_all(&*patch).unwrap();
        let head = [&b"plgdlta1"[..], &345_u64.to_le_bytes(), &350_u64.to_le_bytes()].concat();
        // Nothing copied and five bytes inserted; then all of the base, of which byte 7 differs.
        let records = [&[0, 0, 5, 0][..], b"New: ", &[0, 0xd9, 2, 0, 7, 10, 0xd1, 2]].concat();
        let difference = new[12].wrapping_sub(base[7]);
        assert_eq!(content[..24], head);
        assert_eq!(content[24..33], records[..9]);
        assert_eq!(content[33..], [0, 0xd9, 2, 0, 7, difference, 0xd1, 2], "{records:?}");
        assert_eq!(applied(&base, &patch).unwrap(), new);
    }

    proptest! {
        #[test]
        fn what_is_made_is_what_it_was_made_of(
            base in prop::collection::vec(0u8..4, 0..4000),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..900, any::<u8>()), 0..9),
        ) {
            let mut new = Vec::new();
            for (from, length, byte) in cuts {
                let from = from.index(base.len() + 1);
                new.extend_from_slice(&base[from..base.len().min(from + length)]);
                new.push(byte);
            }
            prop_assert_eq!(applied(&base, &write(&base, &new).unwrap()).unwrap(), new);
        }

        #[test]
        fn no_patch_makes_more_than_it_says(records in prop::collection::vec(any::<u8>(), 0..200), size in 0u64..100_000) {
            let base = vec![5; 1000];
            let content = [&MAGIC[..], &1000_u64.to_le_bytes(), &size.to_le_bytes(), &records].concat();
            let mut made = Vec::new();
            let patch = zstd::bulk::compress(&content, 1).unwrap();
            let whole = Patch::open(&*patch, 1 << 20, &Limits::default()).and_then(|patch| patch.apply(Cursor::new(base), &mut made));
            prop_assert!(made.len() as u64 <= size && (whole.is_err() || made.len() as u64 == size));
        }
    }
}
