//! What several windows hold together: intervals that do not touch each other.

use std::sync::{Arc, LazyLock};

use super::{Interval, Window};
use crate::Timestamp;

/// Merged intervals that are worked out ahead: the current and the next.
const AHEAD: usize = 2;
/// Occurrences that are merged at the most. Windows that follow each other without a pause would
/// never come to an end; a hold that is cut off here is looked at again when it is over.
pub const MAX_MERGED: usize = 256;

/// When deliveries of an endpoint are held, by all its windows together, as far as
/// [`Held::known_until`]. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    intervals: Arc<[Interval]>,
    known_until: Timestamp,
}

impl Default for Held {
    fn default() -> Self {
        static NEVER: LazyLock<Arc<[Interval]>> = LazyLock::new(|| Arc::from([]));
        Self { intervals: NEVER.clone(), known_until: Timestamp::NEVER }
    }
}

impl Held {
    /// Works out the interval that contains `now`, or the next, and one more.
    pub fn merge<'a>(windows: impl IntoIterator<Item = &'a Window>, now: Timestamp) -> Self {
        let mut coming: Vec<(Interval, &Window)> = windows
            .into_iter()
            .filter_map(|window| Some((window.occurrence(now)?, window)))
            .collect();
        if coming.is_empty() {
            return Self::default();
        }
        let mut intervals: Vec<Interval> = Vec::with_capacity(AHEAD);
        for _ in 0..MAX_MERGED {
            let first = coming.iter().enumerate().min_by_key(|(_, (next, _))| next.starts_at);
            let Some((at, &(next, window))) = first else {
                return Self { intervals: intervals.into(), known_until: Timestamp::NEVER };
            };
            let full = intervals.len() == AHEAD;
            match intervals.last_mut() {
                Some(last) if next.starts_at <= last.ends_at => {
                    last.ends_at = last.ends_at.max(next.ends_at);
                }
                _ if full => break,
                _ => intervals.push(next),
            }
            match window.next_after(next) {
                Some(after) => coming[at].0 = after,
                None => drop(coming.swap_remove(at)),
            }
        }
        let known_until = intervals.last().map_or(Timestamp::NEVER, |last| last.ends_at);
        Self { intervals: intervals.into(), known_until }
    }

    /// Until when deliveries are held that would start now.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        self.current(now).map(|interval| interval.ends_at)
    }

    #[must_use]
    pub fn current(&self, now: Timestamp) -> Option<Interval> {
        self.intervals.iter().find(|interval| interval.contains(now)).copied()
    }

    /// The interval that contains `now` and the next, as far as they are known.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// The first end after `now`.
    #[must_use]
    pub fn next_end(&self, now: Timestamp) -> Timestamp {
        let mut ends = self.intervals.iter().map(|interval| interval.ends_at);
        ends.find(|end| *end > now).unwrap_or(self.known_until)
    }

    /// From here on it has to be worked out anew.
    #[must_use]
    pub const fn known_until(&self) -> Timestamp {
        self.known_until
    }
}
