//! Quiet hours: when Doorbell does its own housekeeping.

use std::str::FromStr;

use super::{BadPlan, Interval, Recurrence, RecurrenceParts};
use crate::Timestamp;

/// Hours that recur, such as `0 1 * * *; 240; Europe/Berlin`: every night at one, for 240
/// minutes. The default is any time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuietHours(Option<Recurrence>);

impl QuietHours {
    pub const ANY_TIME: Self = Self(None);

    #[must_use]
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        match &self.0 {
            None => true,
            Some(hours) => hours.occurrence(now).is_some_and(|hours| hours.contains(now)),
        }
    }

    /// The hours that contain `now`, or else the next. None at any time.
    #[must_use]
    pub fn hours(&self, now: Timestamp) -> Option<Interval> {
        self.0.as_ref()?.occurrence(now)
    }
}

/// Why a text is no quiet hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuietHours {
    #[error("is not `cron; minutes; time zone`")]
    Shape,
    #[error("has minutes that are no number")]
    Minutes,
    #[error("has a {field} that {why}", field = .why.field())]
    Plan { why: BadPlan },
}

impl FromStr for QuietHours {
    type Err = BadQuietHours;

    /// An empty text means any time.
    fn from_str(text: &str) -> Result<Self, BadQuietHours> {
        if text.trim().is_empty() {
            return Ok(Self::ANY_TIME);
        }
        let [cron, minutes, time_zone] = text
            .split(';')
            .map(str::trim)
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| BadQuietHours::Shape)?;
        let parts = RecurrenceParts {
            cron: cron.to_owned(),
            duration_minutes: minutes.parse().map_err(|_| BadQuietHours::Minutes)?,
            time_zone: time_zone.to_owned(),
            from: None,
            until: None,
        };
        Recurrence::new(parts)
            .map(|hours| Self(Some(hours)))
            .map_err(|why| BadQuietHours::Plan { why })
    }
}
