//! One lane: an endpoint's hook, its messages and how late they came.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::measure::Histogram;
use crate::payload;

/// One request at a hook.
pub struct Arrival<'a> {
    pub lane: &'a str,
    pub message_id: &'a str,
    pub body: &'a [u8],
    pub fail_percent: u64,
    pub generation: u64,
    pub now_ns: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Answered,
    Failed,
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct LaneReport {
    pub distinct: u64,
    /// Answered 2xx, repetitions included
    pub answered: u64,
    /// Answered 500 on purpose
    pub failed: u64,
    /// Whose payload was not what had been published
    pub unreadable: u64,
    pub first_ns: u64,
    pub last_ns: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl LaneReport {
    pub fn duplicates(&self) -> u64 {
        self.answered - self.distinct
    }
}

pub struct Lane {
    seen: HashMap<Box<str>, Seen>,
    latency: Histogram,
    distinct: u64,
    answered: u64,
    failed: u64,
    unreadable: u64,
    first_ns: u64,
    last_ns: u64,
    /// Only what was sent from then on is timed
    since_ns: u64,
}

#[derive(Default)]
struct Seen {
    tries: u32,
    answered: u32,
}

impl Lane {
    pub fn new(now_ns: u64, since_ns: u64) -> Self {
        Self {
            seen: HashMap::new(),
            latency: Histogram::new(),
            distinct: 0,
            answered: 0,
            failed: 0,
            unreadable: 0,
            first_ns: now_ns,
            last_ns: now_ns,
            since_ns,
        }
    }

    pub fn record(&mut self, arrival: &Arrival<'_>) -> Verdict {
        let seen = match self.seen.get_mut(arrival.message_id) {
            Some(seen) => seen,
            None => self.seen.entry(arrival.message_id.into()).or_default(),
        };
        seen.tries += 1;
        if seen.tries == 1 && is_chosen(arrival.message_id, arrival.fail_percent) {
            self.failed += 1;
            return Verdict::Failed;
        }
        seen.answered += 1;
        self.answered += 1;
        if seen.answered == 1 {
            self.distinct += 1;
        }
        self.last_ns = arrival.now_ns;
        match payload::sent_ns(arrival.body) {
            Some(sent_ns) if sent_ns < self.since_ns => {}
            Some(sent_ns) => self.latency.record(arrival.now_ns.saturating_sub(sent_ns)),
            None => self.unreadable += 1,
        }
        Verdict::Answered
    }

    pub fn has_answered(&self, message_id: &str) -> bool {
        self.seen.get(message_id).is_some_and(|seen| seen.answered > 0)
    }

    pub fn report(&self) -> LaneReport {
        LaneReport {
            distinct: self.distinct,
            answered: self.answered,
            failed: self.failed,
            unreadable: self.unreadable,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            p50_ms: self.latency.quantile_ms(0.5),
            p99_ms: self.latency.quantile_ms(0.99),
            max_ms: self.latency.quantile_ms(1.0),
        }
    }
}

/// Chooses `percent` of the ids, always the same ones.
fn is_chosen(id: &str, percent: u64) -> bool {
    if percent == 0 {
        return false;
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish() % 100 < percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_are_about_as_many_as_asked() {
        let chosen = (0..10_000).filter(|n| is_chosen(&format!("msg_{n}"), 5)).count();
        assert!((400..600).contains(&chosen), "{chosen}");
    }
}
