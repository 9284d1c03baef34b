//! When Redis does not answer: who notices, and what each node grants meanwhile.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::watch;

/// After so many failures in a row no request waits for Redis any more.
pub(super) const FAILURES_TO_OPEN: u32 = 5;

/// Closed while Redis answers. Opened by failures in a row, closed by a probe in the background.
pub(super) struct Breaker {
    failures_in_a_row: AtomicU32,
    failures: AtomicU64,
    up: watch::Sender<bool>,
}

impl Breaker {
    pub fn new() -> Self {
        Self {
            failures_in_a_row: AtomicU32::new(0),
            failures: AtomicU64::new(0),
            up: watch::Sender::new(true),
        }
    }

    pub fn is_up(&self) -> bool {
        self.failures_in_a_row.load(Ordering::Relaxed) < FAILURES_TO_OPEN
    }

    pub fn succeeded(&self) {
        if self.failures_in_a_row.swap(0, Ordering::Relaxed) >= FAILURES_TO_OPEN {
            tracing::info!("redis answers again: limits are shared");
            self.up.send_replace(true);
        }
    }

    pub fn failed(&self, why: &dyn std::fmt::Display) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 == FAILURES_TO_OPEN {
            tracing::warn!(%why, "redis does not answer: each limit follows its own policy");
            self.up.send_replace(false);
        }
    }

    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub fn watch(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }
}

/// This node's part of a limit. Rounded down, so that all nodes together stay within it, but
/// never to nothing: with fewer uses than nodes each node grants one.
pub(super) fn share(limit: u64, nodes: u32) -> u64 {
    if limit == 0 { 0 } else { (limit / u64::from(nodes.max(1))).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_within_the_limit_and_above_nothing() {
        assert_eq!(share(100, 3), 33);
        assert_eq!(share(2, 4), 1);
        assert_eq!(share(0, 4), 0);
        assert_eq!(share(7, 0), 7);
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_answer_closes_it() {
        let breaker = Breaker::new();
        let mut watched = breaker.watch();
        for _ in 1..FAILURES_TO_OPEN {
            breaker.failed(&"refused");
        }
        breaker.succeeded();
        (1..FAILURES_TO_OPEN).for_each(|_| breaker.failed(&"refused"));
        assert!(breaker.is_up());
        breaker.failed(&"refused");
        assert!(!breaker.is_up());
        assert!(!*watched.borrow_and_update());
        breaker.succeeded();
        assert!(breaker.is_up());
        assert!(*watched.borrow_and_update());
    }
}
