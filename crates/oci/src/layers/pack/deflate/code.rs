//! The prefix codes of a DEFLATE block, as tables to walk by (RFC 1951, 3.2.2).

/// The most bits that a code word has.
const LONGEST: usize = 15;

/// The most symbols that codes of one block have: literals and lengths, and distances.
pub(super) const SYMBOLS: usize = 288 + 32;

/// Bits of a table's index: longer code words are searched for.
const TABLE_BITS: usize = 11;

/// Steps in a table.
pub(super) const TABLE: usize = 1 << TABLE_BITS;

/// What to do at a code word.
///
/// Bits 0 to 5: how far to go on. Bits 6 to 9: how many of them are the code word; extra bits follow it. Bit 10: a distance
/// comes next. From bit 11: a value, which is 1 where the block ends. 0: the word is longer than the table knows, or there
/// is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Step(u16);

impl Step {
    const MATCH: u16 = 1 << 10;
    const VALUE: u32 = 11;

    /// A word that the table does not know.
    pub(super) const UNKNOWN: Self = Self(0);
    /// The end of the block.
    pub(super) const END_OF_BLOCK: Self = Self::with_value(1);

    /// A literal (no extra bits), or a distance.
    pub(super) const fn plain(extra: u8) -> Self {
        Self(extra as u16)
    }

    /// The length of a match.
    pub(super) const fn length(extra: u8) -> Self {
        Self(Self::MATCH | extra as u16)
    }

    /// A word that carries a value below 32.
    pub(super) const fn with_value(value: u8) -> Self {
        Self((value as u16) << Self::VALUE)
    }

    const fn after(self, code_bits: u16) -> Self {
        Self(self.0 + code_bits + (code_bits << 6))
    }

    /// How far to go on, in bits.
    #[inline]
    pub(super) const fn bits(self) -> u32 {
        self.0 as u32 & 63
    }

    #[inline]
    const fn code_bits(self) -> u16 {
        self.0 >> 6 & 15
    }

    /// Where in the walker's tables to look next: in the second one if a distance follows.
    #[inline]
    pub(super) const fn next_table(self) -> usize {
        ((self.0 & Self::MATCH) as usize) << (TABLE_BITS - 10)
    }

    /// Whether the walk cannot just go on here.
    #[inline]
    pub(super) const fn is_special(self) -> bool {
        self.0 == 0 || self.value() != 0
    }

    /// The value that the word carries.
    #[inline]
    pub(super) const fn value(self) -> u16 {
        self.0 >> Self::VALUE
    }
}

/// A prefix code.
pub(super) struct Code {
    /// How many words there are of each length.
    counts: [u16; LONGEST + 1],
    /// The steps at all words, in the order of the words.
    steps: [Step; SYMBOLS],
}

impl Code {
    /// A code without words.
    pub(super) fn new() -> Self {
        Self { counts: [0; LONGEST + 1], steps: [Step::UNKNOWN; SYMBOLS] }
    }

    /// Makes it the code whose symbols have words of these lengths, and what to do at them; fills a table, whose length is a
    /// power of two.
    pub(super) fn set(&mut self, lengths: &[u8], step: impl Fn(usize) -> Step, table: &mut [Step]) {
        self.counts = [0; LONGEST + 1];
        for &length in lengths {
            self.counts[usize::from(length)] += 1;
        }
        self.counts[0] = 0;
        let mut next = [0; LONGEST + 1];
        for length in 1..=LONGEST {
            next[length] = next[length - 1] + usize::from(self.counts[length - 1]);
        }
        for (symbol, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let at = &mut next[usize::from(length)];
            self.steps[*at] = step(symbol).after(u16::from(length));
            *at += 1;
        }
        self.fill(table);
    }

    /// Code words come with their first bit lowest, so a table is indexed by reversed words with anything above them: the
    /// table for words of one more bit is this one twice, with the words of that length in their places.
    fn fill(&self, table: &mut [Step]) {
        table[0] = Step::UNKNOWN;
        let mut word = 0_u16;
        let mut steps = self.steps.iter();
        for length in 1..=table.len().ilog2() as usize {
            let (below, above) = table[..1 << length].split_at_mut(1 << (length - 1));
            above.copy_from_slice(below);
            for step in steps.by_ref().take(usize::from(self.counts[length])) {
                table[usize::from(word.reverse_bits()) >> (16 - length)] = *step;
                word = word.wrapping_add(1);
            }
            word = word.wrapping_shl(1);
        }
    }

    /// The step at the bits ahead, if they begin with a word. Words of one length are consecutive numbers, which follow
    /// those one bit shorter.
    #[cold]
    pub(super) fn search(&self, ahead: u64) -> Option<Step> {
        let (mut word, mut first, mut index) = (0, 0, 0);
        for length in 1..=LONGEST {
            word |= usize::from(ahead >> (length - 1) & 1 == 1);
            let count = usize::from(self.counts[length]);
            if word < first + count {
                return self.steps.get(index + word.checked_sub(first)?).copied();
            }
            index += count;
            first = (first + count) << 1;
            word <<= 1;
        }
        None
    }
}

/// Joins each literal in a table with what surely follows it in the bits of the index.
pub(super) fn join_literals(table: &mut [Step]) {
    for at in 0..table.len() {
        let step = table[at];
        if step.is_special() || step.next_table() != 0 {
            continue;
        }
        let bits = step.code_bits();
        let then = table[at >> bits];
        if !then.is_special() && usize::from(bits + then.code_bits()) <= TABLE_BITS {
            table[at] = then.after(bits);
        }
    }
}
