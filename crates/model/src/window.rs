//! Maintenance windows: when deliveries are held, of whom, and why.
//!
//! A window happens once, or again and again by the clock on somebody's wall ([`Recurrence`]).
//! All that is asked of it is pure: [`Window::occurrence`] answers with the occurrence that
//! contains a moment or is the next one, [`Held`] merges the occurrences of several windows into
//! the intervals in which nothing may start. An occurrence begins at its first millisecond and
//! ends before `ends_at`.

mod held;
mod quiet;
mod recurrence;
#[cfg(test)]
mod tests;
mod zone;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use held::{Held, MAX_MERGED};
pub use quiet::{BadQuietHours, QuietHours};
pub use recurrence::{Recurrence, RecurrenceParts};

use crate::{AppId, EndpointId, Timestamp, WindowId};

/// Windows of one app, and of the instance.
pub const MAX_WINDOWS: usize = 100;
/// Endpoints that one window can name.
pub const MAX_WINDOW_ENDPOINTS: usize = 100;
pub const MAX_WINDOW_NAME_LEN: usize = 256;
/// How long a window that happens once may last: a year.
pub const MAX_ONCE_MS: u64 = 366 * 24 * 60 * 60 * 1_000;
/// How long an occurrence of a recurring one may last: 31 days.
pub const MAX_DURATION_MINUTES: u32 = 31 * 24 * 60;
/// Occurrences that are told ahead.
pub const MAX_UPCOMING: usize = 100;

pub(crate) const MINUTE_MS: u64 = 60_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub id: WindowId,
    pub scope: Scope,
    pub name: String,
    pub reason: String,
    pub plan: Plan,
    pub enabled: bool,
    /// Somebody ended an occurrence then; those that began before are over.
    pub ended_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Whose deliveries are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Instance,
    App(AppId),
    Endpoints(AppId, Vec<EndpointId>),
}

impl Scope {
    #[must_use]
    pub const fn app_id(&self) -> Option<AppId> {
        match self {
            Self::Instance => None,
            Self::App(app) | Self::Endpoints(app, _) => Some(*app),
        }
    }

    /// Whether it holds this endpoint, of an app that it concerns.
    #[must_use]
    pub fn holds(&self, endpoint: &EndpointId) -> bool {
        match self {
            Self::Instance | Self::App(_) => true,
            Self::Endpoints(_, endpoints) => endpoints.contains(endpoint),
        }
    }
}

/// When a window happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    Once(Interval),
    Recurring(Box<Recurrence>),
}

/// From a moment until before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
}

impl Interval {
    #[must_use]
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.starts_at <= moment && moment < self.ends_at
    }
}

/// Why a plan was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlan {
    #[error("must be five fields: minute, hour, day of month, month, day of week ({0})")]
    Cron(String),
    #[error("never happens within the next ten years")]
    NeverHappens,
    #[error("{0:?} is no time zone of the IANA database, such as Europe/Berlin")]
    TimeZone(String),
    #[error("must be a day such as 2027-03-28, got {0:?}")]
    Date(String),
    #[error("must not be before `from`")]
    UntilBeforeFrom,
    #[error("must be after `startsAt`")]
    EndBeforeStart,
    #[error("must be at most 366 days after `startsAt`")]
    TooLong,
    #[error("must be 1 to {MAX_DURATION_MINUTES} minutes")]
    Duration,
    #[error("must be shorter than the time between two starts, which can be {0} minutes")]
    LongerThanPeriod(u64),
}

impl BadPlan {
    /// The field that is to be mended.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Cron(_) | Self::NeverHappens => "cron",
            Self::TimeZone(_) => "timeZone",
            Self::Date(_) => "from",
            Self::UntilBeforeFrom => "until",
            Self::EndBeforeStart | Self::TooLong => "endsAt",
            Self::Duration | Self::LongerThanPeriod(_) => "durationMinutes",
        }
    }
}

impl Plan {
    /// # Errors
    /// When the end is not after the start, or too far from it.
    pub fn once(starts_at: Timestamp, ends_at: Timestamp) -> Result<Self, BadPlan> {
        if ends_at <= starts_at {
            return Err(BadPlan::EndBeforeStart);
        }
        if ends_at.since_ms(starts_at) > MAX_ONCE_MS {
            return Err(BadPlan::TooLong);
        }
        Ok(Self::Once(Interval { starts_at, ends_at }))
    }

    /// # Errors
    /// As [`Recurrence::new`].
    pub fn recurring(parts: RecurrenceParts) -> Result<Self, BadPlan> {
        Recurrence::new(parts).map(|recurrence| Self::Recurring(Box::new(recurrence)))
    }

    /// The occurrence that contains `now`, or else the next.
    #[must_use]
    pub fn occurrence(&self, now: Timestamp) -> Option<Interval> {
        match self {
            Self::Once(interval) => (interval.ends_at > now).then_some(*interval),
            Self::Recurring(recurrence) => recurrence.occurrence(now),
        }
    }

    /// The occurrence that begins at `moment` or is the first to begin after it.
    fn from(&self, moment: Timestamp) -> Option<Interval> {
        match self {
            Self::Once(interval) => (interval.starts_at >= moment).then_some(*interval),
            Self::Recurring(recurrence) => recurrence.from(moment),
        }
    }
}

impl Window {
    /// The occurrence that contains `now`, or else the next; none of a window that is disabled.
    #[must_use]
    pub fn occurrence(&self, now: Timestamp) -> Option<Interval> {
        if !self.enabled {
            return None;
        }
        let found = self.plan.occurrence(now)?;
        match self.ended_at {
            Some(ended_at) if found.starts_at < ended_at => self.plan.from(ended_at),
            _ => Some(found),
        }
    }

    /// What comes after an occurrence.
    #[must_use]
    pub fn next_after(&self, occurrence: Interval) -> Option<Interval> {
        self.enabled.then(|| self.plan.from(occurrence.starts_at.plus_ms(1)))?
    }

    /// The occurrence that contains `now` and those after it, at most [`MAX_UPCOMING`].
    #[must_use]
    pub fn upcoming(&self, now: Timestamp, n: usize) -> Vec<Interval> {
        let first = self.occurrence(now);
        let all = std::iter::successors(first, |occurrence| self.next_after(*occurrence));
        all.take(n.min(MAX_UPCOMING)).collect()
    }

    /// Whether it holds deliveries at this moment.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.occurrence(now).is_some_and(|occurrence| occurrence.contains(now))
    }

    /// Ends the occurrence that contains `now`; false when there is none.
    pub fn end(&mut self, now: Timestamp) -> bool {
        if !self.is_active(now) {
            return false;
        }
        match &mut self.plan {
            Plan::Once(interval) => interval.ends_at = now,
            // One that begins at this very moment is meant too.
            Plan::Recurring(_) => self.ended_at = Some(now.plus_ms(1)),
        }
        true
    }
}

/// A day without a time, as text such as `2027-03-28`.
fn date(text: &str) -> Result<jiff::civil::Date, BadPlan> {
    jiff::civil::Date::from_str(text.trim()).map_err(|_| BadPlan::Date(text.to_owned()))
}
