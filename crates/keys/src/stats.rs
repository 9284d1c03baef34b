//! What this process counted since it started, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use model::key::decide::Code;

use crate::{Keys, Verdict};

#[derive(Default)]
pub(crate) struct Counters {
    by_code: [AtomicU64; Code::ALL.len()],
    misses: AtomicU64,
}

impl Counters {
    pub fn count(&self, verdict: &Verdict) {
        // The codes are numbered from 0.
        self.by_code[verdict.code as usize].fetch_add(1, Ordering::Relaxed);
        if !verdict.cached {
            self.misses.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn valid(&self) -> u64 {
        self.by_code[Code::Valid as usize].load(Ordering::Relaxed)
    }
}

/// Since the process started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Verifications by what they answered.
    pub verified: Vec<(Code, u64)>,
    /// Of those, answered without the memory's help.
    pub misses: u64,
    /// Credentials in memory.
    pub held: usize,
    /// Runs of a password hash.
    pub hash_runs: u64,
    /// Reads of the database for tokens that no filter knew, or that it let pass by mistake.
    pub probes: u64,
    /// How old the last confirmation is that nothing was revoked.
    pub stale_ms: u64,
}

impl Keys {
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.0.stats;
        let count = |code: &Code| (*code, counters.by_code[*code as usize].load(Ordering::Relaxed));
        Stats {
            verified: Code::ALL.iter().map(count).collect(),
            misses: counters.misses.load(Ordering::Relaxed),
            held: self.0.credentials.memory.len(),
            hash_runs: self.0.credentials.hasher.runs(),
            probes: self.0.credentials.probes(),
            stale_ms: self.0.follower.stale_ms(self.0.store.clock().elapsed()),
        }
    }
}
