//! Adaptive concurrency: how many deliveries an endpoint takes at one time, learned from how it
//! answers.
//!
//! Trouble halves what it gets, at most once in a window: an answer that asks for less (429, 503),
//! or a share of timeouts, or answers that take far longer than they usually do. Each window without
//! trouble gives a step back, until it gets what it is configured for and nothing is remembered.
//! An endpoint that works is never slowed: a lone timeout among many answers is noise.

use crate::Timestamp;
use crate::attempt::{Attempt, ErrorKind};

/// All trouble of one window counts once.
const WINDOW_MS: u64 = 1_000;
/// Windows without trouble from nothing to the configured maximum.
const STEPS: u32 = 32;
/// One timeout or slow answer in so many is noise.
const NOISE: usize = 20;
/// Answers that show what is usual.
const MIN_SEEN: u32 = 256;
const USUAL_WEIGHT: f32 = 1.0 / 1_024.0;
const RECENT_WEIGHT: f32 = 1.0 / 16.0;
/// Slower than usual by this factor, and by so much, is trouble.
const FAR_FACTOR: f32 = 4.0;
const FAR_MS: f32 = 1_000.0;

/// What a settled delivery says about how much its endpoint can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    Answered {
        duration_ms: u32,
    },
    /// The receiver asked for less.
    Refused,
    /// No answer in time.
    TooSlow,
    Nothing,
}

impl From<&Attempt> for Effort {
    fn from(attempt: &Attempt) -> Self {
        match (attempt.status_code, attempt.error) {
            (Some(429 | 503), _) => Self::Refused,
            (_, Some(ErrorKind::Timeout | ErrorKind::ConnectTimeout)) => Self::TooSlow,
            (Some(_), _) => Self::Answered { duration_ms: attempt.duration_ms },
            (None, _) => Self::Nothing,
        }
    }
}

/// What an endpoint that had trouble may have in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    cap: u32,
    /// The last trouble.
    since: Timestamp,
}

impl Learned {
    /// Trouble, with so many in flight.
    #[must_use]
    pub fn after_trouble(
        before: Option<Self>,
        in_flight: u32,
        configured: u32,
        now: Timestamp,
    ) -> Self {
        match before {
            Some(before) if now.since_ms(before.since) < WINDOW_MS => before,
            before => {
                let cap = before.map_or(configured, |before| before.cap(configured, now));
                Self { cap: (cap.min(in_flight) / 2).max(1), since: now }
            }
        }
    }

    /// What it may have in flight now.
    #[must_use]
    pub fn cap(&self, configured: u32, now: Timestamp) -> u32 {
        let windows = u32::try_from(now.since_ms(self.since) / WINDOW_MS).unwrap_or(u32::MAX);
        let step = configured.div_ceil(STEPS);
        self.cap.saturating_add(step.saturating_mul(windows)).clamp(1, configured.max(1))
    }

    /// It has back what it was configured for.
    #[must_use]
    pub fn is_over(&self, configured: u32, now: Timestamp) -> bool {
        self.cap(configured, now) >= configured
    }
}

/// How long a lane's answers take, usually and of late, and how many of this window were trouble.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    usual_ms: f32,
    recent_ms: f32,
    seen: u32,
    window: i64,
    slow: usize,
}

impl Pace {
    /// Whether this is trouble, among so many that finished within a second.
    pub fn is_trouble(&mut self, effort: Effort, finished: usize, now: Timestamp) -> bool {
        let is_slow = match effort {
            Effort::Nothing => false,
            Effort::Refused => return true,
            Effort::TooSlow => true,
            Effort::Answered { duration_ms } => self.is_far_from_usual(duration_ms),
        };
        if !is_slow {
            return false;
        }
        let window = now.0.div_euclid(i64::try_from(WINDOW_MS).unwrap_or(1));
        if window != self.window {
            (self.window, self.slow) = (window, 0);
        }
        self.slow += 1;
        self.slow * NOISE >= finished
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds need no more")]
    fn is_far_from_usual(&mut self, duration_ms: u32) -> bool {
        let took = duration_ms as f32;
        self.seen = self.seen.saturating_add(1);
        let weight = USUAL_WEIGHT.max(1.0 / self.seen as f32);
        self.usual_ms += (took - self.usual_ms) * weight;
        self.recent_ms += (took - self.recent_ms) * RECENT_WEIGHT.max(weight);
        self.seen >= MIN_SEEN
            && self.recent_ms > self.usual_ms * FAR_FACTOR
            && self.recent_ms - self.usual_ms > FAR_MS
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn answered(duration_ms: u32) -> Effort {
        Effort::Answered { duration_ms }
    }

    #[test]
    fn trouble_halves_once_in_a_window_and_time_gives_it_back() {
        let first = Learned::after_trouble(None, 200, 256, NOW);
        assert_eq!(first.cap(256, NOW), 100);
        let again = Learned::after_trouble(Some(first), 200, 256, NOW.plus_ms(999));
        assert_eq!(again, first, "the same window");
        let later = Learned::after_trouble(Some(first), 200, 256, NOW.plus_ms(1_000));
        assert_eq!(later.cap(256, NOW.plus_ms(1_000)), 54, "a step up, then half of it");
        assert_eq!(later.cap(256, NOW.plus_ms(2_000)), 62);
        assert!(!later.is_over(256, NOW.plus_ms(26_000)));
        assert!(later.is_over(256, NOW.plus_ms(27_000)));
    }

    #[test]
    fn a_lone_timeout_among_many_answers_is_noise() {
        let mut pace = Pace::default();
        assert!(!pace.is_trouble(Effort::TooSlow, 100, NOW));
        assert!(pace.is_trouble(Effort::TooSlow, 40, NOW), "two in forty are not");
        assert!(Pace::default().is_trouble(Effort::TooSlow, 1, NOW), "nor is one in one");
        assert!(Pace::default().is_trouble(Effort::Refused, 10_000, NOW), "who asks is heard");
    }

    #[test]
    fn answers_far_slower_than_usual_are_trouble() {
        let mut pace = Pace::default();
        for _ in 0..1_000 {
            assert!(!pace.is_trouble(answered(20), 100, NOW));
        }
        let slow = (0..40).map(|_| pace.is_trouble(answered(3_000), 100, NOW));
        assert!(slow.collect::<Vec<_>>().contains(&true));
        let mut always_slow = Pace::default();
        for _ in 0..1_000 {
            assert!(!always_slow.is_trouble(answered(3_000), 100, NOW), "this is how it is");
        }
    }

    proptest! {
        #[test]
        fn noise_never_slows(durations in proptest::collection::vec(0u32..900, 1..2_000)) {
            let mut pace = Pace::default();
            for duration in durations {
                prop_assert!(!pace.is_trouble(answered(duration), 1, NOW));
            }
        }

        #[test]
        fn a_cap_stays_between_one_and_the_maximum_and_never_falls_by_itself(
            configured in 1u32..2_000,
            troubles in proptest::collection::vec((0u64..5_000, 0u32..3_000), 1..50),
        ) {
            let mut now = NOW;
            let mut learned = None;
            for (passed_ms, in_flight) in troubles {
                if let Some(learned) = &learned {
                    let earlier = Learned::cap(learned, configured, now);
                    let later = learned.cap(configured, now.plus_ms(passed_ms));
                    prop_assert!(earlier <= later);
                }
                now = now.plus_ms(passed_ms);
                let after = Learned::after_trouble(learned, in_flight, configured, now);
                prop_assert!((1..=configured).contains(&after.cap(configured, now)));
                learned = Some(after);
            }
        }
    }
}
