//! Which parts of one tar stand in another, nearly alike.
//!
//! A new version of a program is the old one with a little more or less between its functions: behind each such place all
//! is moved by as much, and the addresses in it differ by a byte or two. So what is looked for is not equal bytes but an
//! *alignment* under which most bytes are equal; it is kept until another one is better by more than [`MARGIN`] bytes. That
//! idea is bsdiff's (C. Percival, "Naive differences of executable code", 2003); where bsdiff sorts all suffixes, an index of
//! every eight bytes finds as much here in a third of the time.

use std::ops::Range;

/// How many equal bytes an index entry stands for.
const WORD: usize = 8;
/// How many places with the same word are compared.
const DEPTH: usize = 16;
/// Equal bytes beyond which no longer match is looked for: it bounds what one place costs.
const LONG: usize = 512;
/// How many more equal bytes another alignment must have.
const MARGIN: usize = 8;
/// How many places of the base are indexed: every one up to this size, and fewer of a larger one, so that the index has 128 MiB.
const PLACES: usize = 16 << 20;
/// No place.
const NONE: u32 = u32::MAX;

/// A part of the new tar: bytes that nearly stand at `from` in the base, then bytes that do not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) from: usize,
    pub(super) copied: Range<usize>,
    pub(super) inserted: Range<usize>,
}

/// The steps that make `new` of `base`, in order and without gaps.
pub(super) fn steps(base: &[u8], new: &[u8]) -> Vec<Step> {
    let index = Index::new(base);
    let (mut steps, mut start, mut from) = (Vec::new(), 0, 0);
    while start < new.len() {
        let anchor = index.next_anchor(new, start, from);
        let end = anchor.map_or(new.len(), |(at, _)| at);
        let mut forward = best_length(end - start, |i| Some(*base.get(from + i)? == new[start + i]));
        let mut backward = anchor
            .map_or(0, |(at, old)| best_length(at - start, |i| Some(*base.get(old.checked_sub(i + 1)?)? == new[at - i - 1])));
        if let Some((at, old)) = anchor.filter(|_| forward + backward > end - start) {
            // Both reach into each other: they part where most bytes are equal.
            let overlap = forward + backward - (end - start);
            let first = forward - overlap;
            let split = best_split(overlap, |i| {
                let byte = new[start + first + i];
                (base[from + first + i] == byte, base[old - backward + i] == byte)
            });
            debug_assert_eq!(at - backward, start + first);
            forward = first + split;
            backward -= split;
        }
        let inserted = start + forward..end - backward;
        if inserted.end > start {
            steps.push(Step { from, copied: start..inserted.start, inserted: inserted.clone() });
        }
        start = inserted.end;
        from = anchor.map_or(0, |(_, old)| old - backward);
    }
    steps
}

/// How far to go so that equal bytes outnumber others by most.
fn best_length(limit: usize, equal: impl Fn(usize) -> Option<bool>) -> usize {
    let (mut equals, mut best, mut length) = (0, 0, 0);
    for i in 0..limit {
        let Some(equal) = equal(i) else { break };
        equals += usize::from(equal);
        let lead = (2 * equals).saturating_sub(i + 1);
        if lead > best {
            (best, length) = (lead, i + 1);
        }
    }
    length
}

/// How many of the bytes the first of two alignments should have.
fn best_split(overlap: usize, equal: impl Fn(usize) -> (bool, bool)) -> usize {
    let (mut lead, mut best, mut split) = (0_isize, 0, 0);
    for i in 0..overlap {
        let (first, second) = equal(i);
        lead += isize::from(first) - isize::from(second);
        if lead > best {
            (best, split) = (lead, i + 1);
        }
    }
    split
}

/// Where in the base which word stands.
struct Index<'a> {
    base: &'a [u8],
    stride: usize,
    shift: u32,
    /// The first place of each hash, in strides.
    first: Vec<u32>,
    /// The next place of the same hash.
    next: Vec<u32>,
}

impl<'a> Index<'a> {
    fn new(base: &'a [u8]) -> Self {
        let stride = base.len().div_ceil(PLACES).max(1);
        let places = base.len() / stride;
        let bits = (usize::BITS - places.leading_zeros()).clamp(8, 24);
        let mut index = Self { base, stride, shift: 64 - bits, first: vec![NONE; 1 << bits], next: vec![NONE; places] };
        for place in (0..places).rev() {
            let at = place * stride;
            // Of a run of one byte its end is enough.
            let Some(word) = word(base, at).filter(|word| self::word(base, at + 1) != Some(*word)) else { continue };
            let slot = &mut index.first[hash(word, index.shift)];
            index.next[place] = std::mem::replace(slot, u32::try_from(place).unwrap_or(NONE));
        }
        index
    }

    /// Where new bytes stand in the base, and for how long; the longest of those compared.
    fn longest(&self, new: &[u8]) -> (usize, usize) {
        let mut best = (0, 0);
        let Some(word) = word(new, 0) else { return best };
        let mut place = self.first[hash(word, self.shift)];
        for _ in 0..DEPTH {
            if place == NONE || best.1 == LONG {
                break;
            }
            let at = place as usize * self.stride;
            let length = common(&self.base[at..], new);
            if length > best.1 {
                best = (at, length);
            }
            place = self.next[place as usize];
        }
        if best.1 < WORD { (0, 0) } else { best }
    }

    /// The next place from `start` on where another alignment than `start` to `from` is better, and where that is in the base.
    fn next_anchor(&self, new: &[u8], start: usize, from: usize) -> Option<(usize, usize)> {
        let aligned = |at: usize| self.base.get(from + (at - start)) == Some(&new[at]);
        // The bytes of `at..counted` that the alignment has.
        let (mut at, mut counted, mut equal) = (start, start, 0);
        while at < new.len() {
            let (old, length) = self.longest(&new[at..]);
            while counted < at + length {
                equal += usize::from(aligned(counted));
                counted += 1;
            }
            if length > equal + MARGIN {
                return Some((at, old));
            }
            if length > 0 && length == equal {
                at += length;
                (counted, equal) = (at, 0);
            } else {
                if counted > at {
                    equal -= usize::from(aligned(at));
                }
                at += 1;
                counted = counted.max(at);
            }
        }
        None
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + WORD)?.try_into().ok().map(u64::from_le_bytes)
}

/// The upper bits of a product by 2^64 divided by the golden ratio (Knuth, 6.4).
fn hash(word: u64, shift: u32) -> usize {
    usize::try_from(word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift).unwrap_or_default()
}

/// How many bytes two slices have in common, up to [`LONG`].
fn common(one: &[u8], other: &[u8]) -> usize {
    let most = one.len().min(other.len()).min(LONG);
    let words = (0..most / WORD).take_while(|i| word(one, i * WORD) == word(other, i * WORD)).count() * WORD;
    words + one[words..most].iter().zip(&other[words..most]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(seed: u64, size: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..size).map(|_| next()).collect()
    }

    fn inserted(steps: &[Step]) -> usize {
        steps.iter().map(|step| step.inserted.len()).sum()
    }

    #[test]
    fn what_moved_with_a_few_other_bytes_is_copied() {
        let old = noise(7, 100_000);
        let mut new = [&old[..30_000], b"something new", &old[30_000..60_000], &old[70_000..]].concat();
        for at in (500..new.len()).step_by(997) {
            new[at] ^= 1;
        }
        let steps = steps(&old, &new);
        assert!(steps.len() < 8 && inserted(&steps) < 40, "{steps:?}");
    }

    #[test]
    fn nothing_in_common_is_inserted_whole() {
        let (old, new) = (noise(1, 5000), noise(2, 5000));
        assert!(inserted(&steps(&old, &new)) > 4900);
        assert_eq!(inserted(&steps(&[], &new)), 5000);
        assert_eq!(steps(&old, &[]), []);
    }

    proptest! {
        #[test]
        fn steps_cover_the_new_tar_once_and_stay_inside_the_base(
            pieces in prop::collection::vec((0usize..3000, 0usize..600, any::<u8>(), any::<bool>()), 0..12),
            seed in any::<u64>(),
        ) {
            let base = [noise(seed, 2000), vec![0; 1000]].concat();
            let mut new = Vec::new();
            for (at, length, byte, of_base) in pieces {
                let part = &base[at..base.len().min(at + length)];
                new.extend(if of_base { part.to_vec() } else { vec![byte; length] });
            }
            let mut at = 0;
            for step in steps(&base, &new) {
                prop_assert_eq!(step.copied.start, at);
                prop_assert_eq!(step.inserted.start, step.copied.end);
                prop_assert!(step.from + step.copied.len() <= base.len());
                prop_assert!(step.inserted.end > at, "each step makes something");
                at = step.inserted.end;
            }
            prop_assert_eq!(at, new.len());
        }
    }
}
