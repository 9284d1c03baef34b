//! Retention: for how many days what grows is kept.
//!
//! Ages are counted in whole days, from when a message was published: everything of one message
//! goes by the message's day, as its ids say it. So what expires is always a day, and on
//! PostgreSQL a day of attempts is one partition.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

pub const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// A hundred years.
pub const MAX_DAYS: u32 = 36_500;

/// Of the instance. None: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Payloads whose message does not say.
    pub payload_days: Option<u32>,
    pub attempt_days: Option<u32>,
    /// Messages with their deliveries and what is left of them.
    pub message_days: Option<u32>,
    pub audit_days: Option<u32>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            payload_days: Some(90),
            attempt_days: Some(90),
            message_days: Some(365),
            audit_days: None,
        }
    }
}

/// What an app keeps for other times. None: as the instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    pub payload_days: Option<u32>,
    pub attempt_days: Option<u32>,
    pub message_days: Option<u32>,
}

impl Retention {
    #[must_use]
    pub fn with(&self, own: &Override) -> Self {
        Self {
            payload_days: own.payload_days.or(self.payload_days),
            attempt_days: own.attempt_days.or(self.attempt_days),
            message_days: own.message_days.or(self.message_days),
            audit_days: self.audit_days,
        }
    }
}

impl Override {
    /// The name of the first value that is out of range.
    #[must_use]
    pub fn bad_field(&self) -> Option<&'static str> {
        let fields = [
            ("payloadDays", self.payload_days),
            ("attemptDays", self.attempt_days),
            ("messageDays", self.message_days),
        ];
        let is_bad = |days: Option<u32>| days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days));
        fields.into_iter().find(|(_, days)| is_bad(*days)).map(|(name, _)| name)
    }
}

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    #[must_use]
    pub const fn of(moment: Timestamp) -> Self {
        Self(moment.0.div_euclid(DAY_MS))
    }

    /// Everything before the start of this day is older than `days`.
    #[must_use]
    pub const fn kept_from(days: u32, now: Timestamp) -> Self {
        Self(Self::of(now).0.saturating_sub(days as i64))
    }

    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(DAY_MS))
    }

    #[must_use]
    pub const fn plus(self, days: u32) -> Self {
        Self(self.0.saturating_add(days as i64))
    }

    /// `2026-11-24`.
    #[must_use]
    pub fn name(self) -> String {
        self.start().to_rfc3339().chars().take(10).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_508_812_345);

    #[test]
    fn days_are_whole_and_named() {
        let day = Day::of(NOW);
        assert_eq!(day.name(), "2026-11-24");
        assert!(day.start() <= NOW && NOW < day.plus(1).start());
        assert_eq!(Day::of(day.start()), day);
        assert_eq!(Day::of(Timestamp(day.start().0 - 1)).plus(1), day);
    }

    #[test]
    fn a_moment_is_kept_for_at_least_its_days() {
        let from = Day::kept_from(90, NOW).start();
        assert!(NOW.since_ms(from) >= 90 * 86_400_000);
        assert!(NOW.since_ms(from) < 91 * 86_400_000);
    }

    #[test]
    fn an_app_differs_where_it_says_so() {
        let own = Override { attempt_days: Some(7), ..Override::default() };
        let kept = Retention::default().with(&own);
        assert_eq!((kept.attempt_days, kept.payload_days), (Some(7), Some(90)));
        assert_eq!(own.bad_field(), None);
        let bad = Override { message_days: Some(0), ..Override::default() };
        assert_eq!(bad.bad_field(), Some("messageDays"));
    }
}
