//! Which indexes can exist at all: a Bloom filter over all living lookups, in blocks of one
//! cache line.
//!
//! A lookup is an HMAC's output, so its own bits choose block and positions: nothing is hashed
//! again, which no published filter offers, and a key minted a moment ago is added in place,
//! which a fuse filter cannot do. With 16 bits per key about one unknown token in a thousand
//! passes. A deleted key stays in until the filter is built anew.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bits per key that the filter has room for.
const BITS_PER_KEY: usize = 16;
const BLOCK_BITS: usize = 512;
const BLOCK_WORDS: usize = BLOCK_BITS / 64;
/// Bits set for each key, all in one block.
const PROBES: usize = 8;
const MIN_KEYS: usize = 4_096;
/// 2 GiB of bits; a larger instance gets more false passes, not more memory.
const MAX_KEYS: usize = 1 << 30;

pub(crate) struct Filter {
    words: Box<[AtomicU64]>,
    blocks: usize,
    room: usize,
    added: AtomicUsize,
}

impl Filter {
    /// With room for so many keys, and as many again.
    pub fn for_keys(keys: usize) -> Self {
        let room = keys.saturating_mul(2).clamp(MIN_KEYS, MAX_KEYS);
        let blocks = (room * BITS_PER_KEY).div_ceil(BLOCK_BITS);
        let words = (0..blocks * BLOCK_WORDS).map(|_| AtomicU64::new(0)).collect();
        Self { words, blocks, room, added: AtomicUsize::new(0) }
    }

    pub fn add(&self, lookup: &[u8; 32]) {
        self.added.fetch_add(1, Ordering::Relaxed);
        for (word, bit) in self.positions(lookup) {
            self.words[word].fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub fn may_contain(&self, lookup: &[u8; 32]) -> bool {
        self.positions(lookup)
            .all(|(word, bit)| self.words[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// More was added than it has room for: build a larger one.
    pub fn is_full(&self) -> bool {
        self.room < MAX_KEYS && self.added.load(Ordering::Relaxed) > self.room
    }

    /// Word and mask of each bit: the first eight bytes choose the block, two more each a bit.
    fn positions(&self, lookup: &[u8; 32]) -> impl Iterator<Item = (usize, u64)> {
        let (head, tail) = lookup.split_at(8);
        let head = head.iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
        let first = usize::try_from(head % self.blocks as u64).unwrap_or(0) * BLOCK_WORDS;
        let mut bits = [(0, 0); PROBES];
        for (bit, pair) in bits.iter_mut().zip(tail.chunks_exact(2)) {
            let at = usize::from(u16::from_be_bytes([pair[0], pair[1]])) % BLOCK_BITS;
            *bit = (first + at / 64, 1 << (at % 64));
        }
        bits.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use model::Entropy;

    use super::*;

    fn lookups(seed: u64, n: usize) -> Vec<[u8; 32]> {
        let entropy = Entropy::seeded(seed);
        let lookup = || {
            let mut lookup = [0; 32];
            entropy.fill(&mut lookup);
            lookup
        };
        std::iter::repeat_with(lookup).take(n).collect()
    }

    #[test]
    fn whatever_was_added_passes_and_few_others_do() {
        let filter = Filter::for_keys(5_000);
        let living = lookups(1, 10_000);
        for lookup in &living {
            filter.add(lookup);
        }
        assert!(!filter.is_full());
        assert!(living.iter().all(|lookup| filter.may_contain(lookup)));
        let passed = lookups(2, 100_000).iter().filter(|l| filter.may_contain(l)).count();
        assert!(passed < 200, "{passed} of 100,000 strangers pass a full filter");
        filter.add(&lookups(3, 1)[0]);
        assert!(filter.is_full());
    }

    #[test]
    fn an_empty_filter_passes_nobody() {
        let filter = Filter::for_keys(0);
        assert!(!lookups(4, 1_000).iter().any(|lookup| filter.may_contain(lookup)));
    }
}
