//! A watch: what the attempts of one process to one endpoint came to lately.
//!
//! Counted as attempts end, in a ring of small buckets, never by looking at what is stored. A
//! receiver that says 429 works, and 410 has a way of its own: neither is held against it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Thresholds, Trip};
use crate::Timestamp;
use crate::attempt::{Attempt, ErrorKind};

/// Parts of a window; the oldest is forgotten as a whole.
const BUCKETS: usize = 10;
const TOO_MANY_REQUESTS: u16 = 429;
const GONE: u16 = 410;

/// What is looked at of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    pub status: Option<u16>,
    /// None when it succeeded.
    pub error: Option<ErrorKind>,
    pub duration_ms: u32,
}

impl From<&Attempt> for Observation {
    fn from(attempt: &Attempt) -> Self {
        Self { status: attempt.status_code, error: attempt.error, duration_ms: attempt.duration_ms }
    }
}

/// What an attempt says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Works,
    Fails,
    /// Nothing: it was not the receiver, or the receiver only asked for time.
    Unknown,
}

impl Observation {
    #[must_use]
    pub const fn health(&self) -> Health {
        match (self.error, self.status) {
            (None, _) => Health::Works,
            (Some(ErrorKind::PayloadGone | ErrorKind::Internal), _)
            | (_, Some(TOO_MANY_REQUESTS | GONE)) => Health::Unknown,
            (Some(_), _) => Health::Fails,
        }
    }

    #[must_use]
    pub const fn is_slow(&self, thresholds: &Thresholds) -> bool {
        thresholds.slow_ms > 0 && self.duration_ms as u64 >= thresholds.slow_ms
    }
}

/// What a window holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Figures {
    pub window_ms: u64,
    pub attempts: u32,
    pub failures: u32,
    pub slow: u32,
    pub consecutive_failures: u32,
    /// Failures by what went wrong.
    pub by_error: BTreeMap<String, u32>,
    /// Answers by the first digit of their status.
    pub by_status_class: BTreeMap<String, u32>,
    pub mean_ms: u64,
    pub max_ms: u32,
    /// The last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    attempts: u32,
    failures: u32,
    slow: u32,
    by_error: [u32; ErrorKind::ALL.len()],
    by_class: [u32; 5],
    total_ms: u64,
    max_ms: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Watch {
    buckets: [Bucket; BUCKETS],
    /// The number of the newest bucket since the epoch, and how long each is.
    newest: i64,
    width_ms: i64,
    consecutive_failures: u32,
    last_failure: Option<Observation>,
    last_trouble_at: Timestamp,
}

impl Watch {
    /// Counts an attempt; answers why the breaker is to open, if it is.
    pub fn observe(
        &mut self,
        attempt: &Observation,
        thresholds: &Thresholds,
        now: Timestamp,
    ) -> Option<Trip> {
        let health = attempt.health();
        if health == Health::Unknown {
            return None;
        }
        let has_failed = health == Health::Fails;
        let is_slow = attempt.is_slow(thresholds);
        self.turn(thresholds.window_ms, now);
        self.count(attempt, has_failed, is_slow);
        if !has_failed && !is_slow {
            self.consecutive_failures = 0;
            return None;
        }
        self.last_trouble_at = now;
        if has_failed {
            self.consecutive_failures = self.consecutive_failures.saturating_add(1);
            self.last_failure = Some(*attempt);
        } else {
            self.consecutive_failures = 0;
        }
        let reason = self.reason(thresholds)?;
        Some(Trip { reason, figures: self.figures(thresholds) })
    }

    /// Nothing went wrong within the last window: it need not be kept.
    #[must_use]
    pub fn is_calm(&self, window_ms: u64, now: Timestamp) -> bool {
        now.since_ms(self.last_trouble_at) > window_ms
    }

    fn count(&mut self, attempt: &Observation, has_failed: bool, is_slow: bool) {
        let at = self.newest.rem_euclid(i64::try_from(BUCKETS).unwrap_or(1));
        let Some(bucket) = self.buckets.get_mut(usize::try_from(at).unwrap_or(0)) else { return };
        bucket.attempts += 1;
        bucket.failures += u32::from(has_failed);
        bucket.slow += u32::from(is_slow);
        bucket.total_ms += u64::from(attempt.duration_ms);
        bucket.max_ms = bucket.max_ms.max(attempt.duration_ms);
        let kind = attempt.error.and_then(|kind| ErrorKind::ALL.iter().position(|k| *k == kind));
        if let Some(count) = kind.and_then(|at| bucket.by_error.get_mut(at)) {
            *count += 1;
        }
        let class = attempt.status.map(|status| usize::from(status / 100).saturating_sub(1));
        if let Some(count) = class.and_then(|at| bucket.by_class.get_mut(at)) {
            *count += 1;
        }
    }

    /// Forgets the buckets that have left the window.
    fn turn(&mut self, window_ms: u64, now: Timestamp) {
        let buckets = i64::try_from(BUCKETS).unwrap_or(1);
        let width_ms = (i64::try_from(window_ms).unwrap_or(i64::MAX) / buckets).max(1);
        if width_ms != self.width_ms {
            *self = Self { width_ms, ..Self::default() };
        }
        let number = now.0.div_euclid(width_ms);
        let passed = number.saturating_sub(self.newest).clamp(0, buckets);
        for back in 0..passed {
            let at = usize::try_from((number - back).rem_euclid(buckets)).unwrap_or(0);
            if let Some(bucket) = self.buckets.get_mut(at) {
                *bucket = Bucket::default();
            }
        }
        self.newest = number.max(self.newest);
        if now.since_ms(self.last_trouble_at) > window_ms {
            self.consecutive_failures = 0;
        }
    }

    fn reason(&self, thresholds: &Thresholds) -> Option<String> {
        if !thresholds.enabled {
            return None;
        }
        let limit = thresholds.consecutive_failures;
        if limit > 0 && self.consecutive_failures >= limit {
            return Some(format!("{} attempts in a row failed", self.consecutive_failures));
        }
        let sum = |pick: fn(&Bucket) -> u32| self.buckets.iter().map(pick).sum::<u32>();
        let attempts = sum(|bucket| bucket.attempts);
        if attempts < thresholds.min_attempts {
            return None;
        }
        let reaches = |n: u32, percent: u32| {
            percent > 0 && u64::from(n) * 100 >= u64::from(attempts) * u64::from(percent)
        };
        let failures = sum(|bucket| bucket.failures);
        if reaches(failures, thresholds.failure_percent) {
            return Some(format!("{failures} of {attempts} attempts failed"));
        }
        let slow = sum(|bucket| bucket.slow);
        let is_slow = thresholds.slow_ms > 0 && reaches(slow, thresholds.slow_percent);
        is_slow.then(|| {
            format!("{slow} of {attempts} attempts took {} ms or longer", thresholds.slow_ms)
        })
    }

    #[must_use]
    pub fn figures(&self, thresholds: &Thresholds) -> Figures {
        let mut figures = Figures {
            window_ms: thresholds.window_ms,
            consecutive_failures: self.consecutive_failures,
            last_error: self.last_failure.and_then(|last| Some(last.error?.as_str().to_owned())),
            last_status: self.last_failure.and_then(|last| last.status),
            ..Figures::default()
        };
        let mut total_ms = 0;
        for bucket in &self.buckets {
            figures.attempts += bucket.attempts;
            figures.failures += bucket.failures;
            figures.slow += bucket.slow;
            figures.max_ms = figures.max_ms.max(bucket.max_ms);
            total_ms += bucket.total_ms;
            let kinds = ErrorKind::ALL.iter().map(|kind| kind.as_str().to_owned());
            add(&mut figures.by_error, kinds, &bucket.by_error);
            let classes = (1..=5).map(|class| format!("{class}xx"));
            add(&mut figures.by_status_class, classes, &bucket.by_class);
        }
        figures.mean_ms = total_ms / u64::from(figures.attempts.max(1));
        figures
    }
}

fn add(sums: &mut BTreeMap<String, u32>, names: impl Iterator<Item = String>, counts: &[u32]) {
    for (name, count) in names.zip(counts) {
        if *count > 0 {
            *sums.entry(name).or_default() += count;
        }
    }
}
