//! When a delivery is tried again, and when it is given up.
//!
//! After each attempt the engine hands the answer to [`judge`], and the [`Judgement`] to
//! [`RetrySchedule::next`], which names the moment of the next attempt or gives up. The schedule
//! comes from the endpoint, else the event type, else the instance, else
//! [`RetrySchedule::default`].
//!
//! What must always hold: every gap is jittered, so that a million deliveries that failed together
//! do not return together; a receiver that asked for a pause with `Retry-After` is never called
//! before it ends; no answer, however strange, moves an attempt further than the longest gap
//! allowed.

mod retry_after;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Entropy, Timestamp};

pub use retry_after::{MAX_RETRY_AFTER_MS, parse_retry_after};

pub const MAX_ATTEMPTS: usize = 50;
pub const MAX_DELAY_MS: u64 = 7 * DAY_MS;
/// A gap is shortened or lengthened by at most this share of itself.
pub const JITTER_PERCENT: u64 = 20;
/// `Retry-After` is lengthened by at most this share, never shortened.
pub const RETRY_AFTER_JITTER_PERCENT: u64 = 10;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Largest first, as [`fmt::Display`] tries them.
const UNITS: [(&str, u64); 5] =
    [("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)];

/// At once, then gaps that add up to 75.6 hours.
const DEFAULT_DELAYS_MS: [u64; 13] = [
    0,
    SECOND_MS,
    5 * SECOND_MS,
    15 * SECOND_MS,
    MINUTE_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("the retry schedule is empty; give at least the delay of the first attempt, e.g. `0s`")]
    Empty,
    #[error("the retry schedule has more than {MAX_ATTEMPTS} attempts")]
    TooManyAttempts,
    #[error("delay {position} of the retry schedule is longer than {}", Delay(MAX_DELAY_MS))]
    TooLong { position: usize },
    #[error(
        "delay {position} of the retry schedule is not a whole number with the unit \
         ms, s, m, h or d, such as `30s`"
    )]
    NotADelay { position: usize },
}

/// The delay before each attempt; the first entry is that of the first attempt. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule {
    delays_ms: Arc<[u64]>,
}

/// What an attempt's outcome means for its delivery and for its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// The receiver said that the endpoint is gone: call it no more, keep its queue.
    pub disable_endpoint: bool,
    /// The receiver is overloaded: its other deliveries wait too.
    pub slow_endpoint: bool,
    /// The pause that the receiver asked for.
    pub retry_after_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Failed,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Done,
    RetryAt(Timestamp),
    GiveUp,
}

/// Judges an attempt by the status of its answer; `None` when no answer came.
///
/// Only 2xx is success: a redirect is not followed and is therefore a failure. Other 4xx are tried
/// again, because receivers deploy broken versions and mend them.
#[must_use]
pub fn judge(status: Option<u16>, retry_after: Option<&str>, now: Timestamp) -> Judgement {
    let verdict = match status {
        Some(200..=299) => Verdict::Delivered,
        _ => Verdict::Failed,
    };
    let retry_after_ms = match verdict {
        Verdict::Delivered => None,
        Verdict::Failed => retry_after.and_then(|value| parse_retry_after(value, now)),
    };
    Judgement {
        verdict,
        disable_endpoint: status == Some(410),
        slow_endpoint: matches!(status, Some(429 | 502 | 503 | 504)),
        retry_after_ms,
    }
}

impl RetrySchedule {
    pub fn from_delays_ms(delays_ms: Vec<u64>) -> Result<Self, ScheduleError> {
        if delays_ms.is_empty() {
            return Err(ScheduleError::Empty);
        }
        if delays_ms.len() > MAX_ATTEMPTS {
            return Err(ScheduleError::TooManyAttempts);
        }
        if let Some(index) = delays_ms.iter().position(|&delay_ms| delay_ms > MAX_DELAY_MS) {
            return Err(ScheduleError::TooLong { position: index + 1 });
        }
        Ok(Self { delays_ms: delays_ms.into() })
    }

    #[must_use]
    pub fn delays_ms(&self) -> &[u64] {
        &self.delays_ms
    }

    /// How long a new delivery waits for its first attempt; not jittered.
    #[must_use]
    pub fn first_delay_ms(&self) -> u64 {
        self.delays_ms.first().copied().unwrap_or(0)
    }

    /// What follows the latest attempt. `attempts_made` counts it.
    #[must_use]
    pub fn next(
        &self,
        attempts_made: u32,
        outcome: &Judgement,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Next {
        if outcome.verdict == Verdict::Delivered {
            return Next::Done;
        }
        let made = usize::try_from(attempts_made).unwrap_or(usize::MAX);
        let Some(&gap_ms) = self.delays_ms.get(made) else {
            return Next::GiveUp;
        };
        let own_ms = jittered(gap_ms, entropy);
        let asked_ms = outcome.retry_after_ms.map_or(0, |asked_ms| lengthened(asked_ms, entropy));
        Next::RetryAt(now.plus_ms(own_ms.max(asked_ms)))
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { delays_ms: DEFAULT_DELAYS_MS.into() }
    }
}

/// Reads `0s,1s,5m,2h,1d`; a bare number counts seconds.
impl FromStr for RetrySchedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        if text.trim().is_empty() {
            return Err(ScheduleError::Empty);
        }
        let parts = text.split(',').take(MAX_ATTEMPTS + 1).enumerate();
        let delays_ms = parts.map(|(index, part)| parse_delay_ms(part.trim(), index + 1));
        Self::from_delays_ms(delays_ms.collect::<Result<_, _>>()?)
    }
}

impl fmt::Display for RetrySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, &delay_ms) in self.delays_ms.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            Delay(delay_ms).fmt(f)?;
        }
        Ok(())
    }
}

/// Writes a delay in the largest unit that divides it.
struct Delay(u64);

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(delay_ms) = *self;
        if delay_ms == 0 {
            return f.write_str("0s");
        }
        match UNITS.iter().find(|(_, unit_ms)| delay_ms % unit_ms == 0) {
            Some((name, unit_ms)) => write!(f, "{}{name}", delay_ms / unit_ms),
            None => write!(f, "{delay_ms}ms"),
        }
    }
}

fn parse_delay_ms(part: &str, position: usize) -> Result<u64, ScheduleError> {
    let unit_at = part.find(|char: char| !char.is_ascii_digit()).unwrap_or(part.len());
    let (digits, unit) = part.split_at(unit_at);
    let unit_ms = match unit {
        "" => Some(SECOND_MS),
        _ => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, unit_ms)| *unit_ms),
    };
    let Some(unit_ms) = unit_ms else {
        return Err(ScheduleError::NotADelay { position });
    };
    if digits.is_empty() {
        return Err(ScheduleError::NotADelay { position });
    }
    // Only a number too large for u64 fails here.
    let count: u64 = digits.parse().map_err(|_| ScheduleError::TooLong { position })?;
    Ok(count.saturating_mul(unit_ms))
}

/// An even choice from the gap ± [`JITTER_PERCENT`].
fn jittered(gap_ms: u64, entropy: &Entropy) -> u64 {
    let spread_ms = gap_ms * JITTER_PERCENT / 100;
    gap_ms - spread_ms + entropy.below(2 * spread_ms + 1)
}

fn lengthened(asked_ms: u64, entropy: &Entropy) -> u64 {
    let asked_ms = asked_ms.min(MAX_RETRY_AFTER_MS);
    asked_ms + entropy.below(asked_ms * RETRY_AFTER_JITTER_PERCENT / 100 + 1)
}

#[cfg(test)]
mod tests;
