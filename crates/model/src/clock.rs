//! Time as an argument. This is the only file that may read the system clock.
//!
//! [`Clock::system`] is used by the server, [`Clock::manual`] by tests. Whoever sleeps until a
//! moment subscribes to a manual clock with [`Clock::on_advance`] and looks again when it moves.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub const ZERO: Self = Self(0);
    /// Later than every moment that will be compared with it.
    pub const NEVER: Self = Self(i64::MAX);

    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    #[must_use]
    pub fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// Milliseconds from `earlier` to this moment; 0 when it lies ahead.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// RFC 3339 with milliseconds and `Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => format!("{moment:.3}"),
            Err(_) => self.0.to_string(),
        }
    }

    /// Any RFC 3339 moment; the part below a millisecond is dropped.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let moment: jiff::Timestamp = text.trim().parse().ok()?;
        Some(Self(moment.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Where the time comes from. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { started: Instant },
    Manual(Arc<Manual>),
}

struct Manual {
    now_ms: AtomicI64,
    started_ms: i64,
    listeners: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl Clock {
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
    }

    /// A clock that stands still until [`Clock::advance_to`].
    #[must_use]
    pub fn manual(now: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Manual {
            now_ms: AtomicI64::new(now.0),
            started_ms: now.0,
            listeners: Mutex::new(Vec::new()),
        })))
    }

    /// Wall time. It may jump when the machine's clock is set.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Manual(manual) => Timestamp(manual.now_ms.load(Ordering::SeqCst)),
        }
    }

    /// Time since the clock was made; never goes back. For durations and limits.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System { started } => Instant::now().duration_since(*started),
            Source::Manual(manual) => {
                let ms = manual.now_ms.load(Ordering::SeqCst) - manual.started_ms;
                Duration::from_millis(u64::try_from(ms).unwrap_or(0))
            }
        }
    }

    #[must_use]
    pub const fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// Moves a manual clock forward and tells its listeners; a system clock ignores it.
    pub fn advance_to(&self, moment: Timestamp) {
        let Source::Manual(manual) = &self.0 else { return };
        manual.now_ms.fetch_max(moment.0, Ordering::SeqCst);
        let listeners = manual.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter() {
            listener();
        }
    }

    /// Calls `listener` after each move of a manual clock.
    pub fn on_advance(&self, listener: impl Fn() + Send + Sync + 'static) {
        if let Source::Manual(manual) = &self.0 {
            let mut listeners = manual.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            listeners.push(Box::new(listener));
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_survive_their_text() {
        let moment = Timestamp(1_795_508_812_345);
        assert_eq!(moment.to_rfc3339(), "2026-11-24T08:26:52.345Z");
        assert_eq!(Timestamp::parse_rfc3339(&moment.to_rfc3339()), Some(moment));
        assert_eq!(Timestamp::parse_rfc3339("2026-11-24T09:26:52.345999+01:00"), Some(moment));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn a_manual_clock_moves_only_forward_and_tells() {
        let clock = Clock::manual(Timestamp(1000));
        let told = Arc::new(AtomicI64::new(0));
        let counter = told.clone();
        clock.on_advance(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        clock.advance_to(Timestamp(5000));
        clock.advance_to(Timestamp(4000));
        assert_eq!(clock.now(), Timestamp(5000));
        assert_eq!(clock.elapsed(), Duration::from_secs(4));
        assert_eq!(told.load(Ordering::SeqCst), 2);
    }
}
