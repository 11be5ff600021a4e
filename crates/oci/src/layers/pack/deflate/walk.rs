//! A walk through a DEFLATE stream, to where its last block begins.
//!
//! Nothing is decompressed: code words are stepped over, several literals at a time.

use super::code::{Code, SYMBOLS, Step, TABLE, join_literals};

/// The order in which the lengths of the words for lengths come.
const LENGTHS_IN_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Steps in the table of that code, whose words have at most 7 bits.
const LENGTHS_TABLE: usize = 1 << 7;

/// What the walk found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Walked {
    /// The bit at which the last block begins.
    pub(super) last_block: usize,
    /// The bit after the last one.
    pub(super) end: usize,
}

/// Walks through streams. It only keeps memory from one to the next.
pub(super) struct Walker {
    literals: Code,
    distances: Code,
    /// The table of each of them.
    tables: Box<[Step; 2 * TABLE]>,
}

impl Walker {
    /// A walker.
    pub(super) fn new() -> Self {
        Self { literals: Code::new(), distances: Code::new(), tables: Box::new([Step::UNKNOWN; 2 * TABLE]) }
    }

    /// What there is to know about a stream, if it is one.
    pub(super) fn walk(&mut self, stream: &[u8]) -> Option<Walked> {
        let mut bits = Bits { stream, next: 0, ahead: 0, count: 0 };
        loop {
            bits.refill();
            let block = bits.position();
            let is_last = bits.take(1) == 1;
            match bits.take(2) {
                0 => bits.stored()?,
                1 => {
                    self.fixed();
                    self.symbols(&mut bits)?;
                }
                2 => {
                    self.dynamic(&mut bits)?;
                    self.symbols(&mut bits)?;
                }
                _ => return None,
            }
            if bits.position() > stream.len() * 8 {
                return None;
            }
            if is_last {
                return Some(Walked { last_block: block, end: bits.position() });
            }
        }
    }

    fn fixed(&mut self) {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.set(&lengths, &[5; 30]);
    }

    fn dynamic(&mut self, bits: &mut Bits) -> Option<()> {
        let (literals, distances) = (257 + bits.take(5), 1 + bits.take(5));
        let mut of_lengths = [0; 19];
        for &symbol in &LENGTHS_IN_ORDER[..4 + bits.take(4)] {
            bits.refill();
            of_lengths[symbol] = narrow(bits.take(3));
        }
        self.literals.set(&of_lengths, |symbol| Step::with_value(narrow(symbol)), &mut self.tables[..LENGTHS_TABLE]);
        let mut lengths = [0; SYMBOLS];
        let mut at = 0;
        while at < literals + distances {
            bits.refill();
            let step = self.tables[bits.low(LENGTHS_TABLE)];
            bits.skip(step.bits());
            let (length, times) = match step.value() {
                16 => (lengths[at.checked_sub(1)?], 3 + bits.take(2)),
                17 => (0, 3 + bits.take(3)),
                18 => (0, 11 + bits.take(7)),
                _ if step == Step::UNKNOWN => return None,
                length => (narrow(length.into()), 1),
            };
            lengths.get_mut(at..at + times)?.fill(length);
            at += times;
        }
        self.set(&lengths[..literals], &lengths[literals..literals + distances]);
        Some(())
    }

    fn set(&mut self, literals: &[u8], distances: &[u8]) {
        let (for_literals, for_distances) = self.tables.split_at_mut(TABLE);
        let step = |symbol| match symbol {
            0..256 => Step::plain(0),
            256 => Step::END_OF_BLOCK,
            257..265 | 285.. => Step::length(0),
            265..285 => Step::length(narrow((symbol - 257) / 4 - 1)),
        };
        self.literals.set(literals, step, for_literals);
        join_literals(for_literals);
        self.distances.set(distances, |symbol| Step::plain(narrow((symbol / 2).saturating_sub(1))), for_distances);
    }

    /// Walks to the end of a block.
    ///
    /// Whether a literal or a match comes next is anyone's guess, so no branch depends on it: it selects the table.
    fn symbols(&self, bits: &mut Bits) -> Option<()> {
        let mut table = 0;
        loop {
            bits.refill(); // a length takes 20 bits at most, a distance 28
            if bits.is_past_end() {
                return None;
            }
            for _ in 0..2 {
                let mut step = bits.see(&self.tables, table);
                if step.is_special() {
                    let code = if table == 0 { &self.literals } else { &self.distances };
                    step = code.search(bits.ahead)?;
                    if step.value() != 0 {
                        bits.skip(step.bits());
                        return Some(());
                    }
                }
                bits.skip(step.bits());
                table = step.next_table();
            }
        }
    }
}

/// The stream, bit by bit. Past its end there are zeros.
struct Bits<'a> {
    stream: &'a [u8],
    next: usize,
    ahead: u64,
    count: u32,
}

impl Bits<'_> {
    /// Makes sure that there are 56 bits ahead.
    #[inline]
    fn refill(&mut self) {
        if let Some(word) = self.stream.get(self.next..).and_then(<[u8]>::first_chunk) {
            self.ahead |= u64::from_le_bytes(*word) << self.count;
            self.next += ((63 - self.count) >> 3) as usize;
            self.count |= 0b11_1000; // adds whole bytes: to 56 or more
        } else {
            while self.count < 56 {
                let byte = self.stream.get(self.next).copied().unwrap_or(0);
                self.ahead |= u64::from(byte) << self.count;
                self.next += 1;
                self.count += 8;
            }
        }
    }

    fn is_past_end(&self) -> bool {
        self.next > self.stream.len() + 8
    }

    fn position(&self) -> usize {
        self.next * 8 - self.count as usize
    }

    #[inline]
    fn skip(&mut self, bits: u32) {
        self.ahead >>= bits;
        self.count -= bits;
    }

    #[expect(clippy::cast_possible_truncation, reason = "a few bits are asked for")]
    fn take(&mut self, bits: u32) -> usize {
        let value = self.ahead as usize & ((1 << bits) - 1);
        self.skip(bits);
        value
    }

    /// The bits ahead as an index below `size`, a power of two.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
    fn low(&self, size: usize) -> usize {
        self.ahead as usize & (size - 1)
    }

    #[inline]
    fn see(&self, tables: &[Step; 2 * TABLE], table: usize) -> Step {
        tables[table & TABLE | self.low(TABLE)]
    }

    /// Steps over a stored block.
    fn stored(&mut self) -> Option<()> {
        let start = self.position().div_ceil(8);
        let size = usize::from(u16::from_le_bytes(*self.stream.get(start..)?.first_chunk()?));
        (self.next, self.ahead, self.count) = (start + 4 + size, 0, 0);
        Some(())
    }
}

/// A number that a field of a few bits holds.
fn narrow(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
