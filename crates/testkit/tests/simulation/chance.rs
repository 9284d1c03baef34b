//! What a seed decides.

use model::Entropy;

/// The simulation's own dice; the nodes have others, so that what they draw moves nothing here.
#[derive(Clone, Debug)]
pub struct Chance(Entropy);

impl Chance {
    pub fn new(seed: u64, of: u64) -> Self {
        Self(entropy(seed, of))
    }

    pub fn below(&self, n: u64) -> u64 {
        self.0.below(n)
    }

    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn percent(&self, share: u64) -> bool {
        self.below(100) < share
    }

    pub fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// Randomness for one part of one seed.
pub fn entropy(seed: u64, of: u64) -> Entropy {
    Entropy::seeded(seed.wrapping_mul(1_000_003).wrapping_add(of))
}
