//! Recurring windows: a cron pattern by the clock on the wall of a time zone.
//!
//! The pattern says at which wall times occurrences begin; [`super::zone`] says which moments
//! those are, whatever the clocks do. From there on an occurrence lasts as long as it lasts.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan};
use serde::{Deserialize, Serialize};

use super::zone::Zone;
use super::{BadPlan, Interval, MAX_DURATION_MINUTES, MINUTE_MS, date};
use crate::Timestamp;

const MAX_CRON_LEN: usize = 128;
/// Starts that are looked at to find the shortest time between two.
const MAX_SAMPLED: usize = 2_000;
/// What does not happen within these years, leap days among them, never does.
const SAMPLED_YEARS: i64 = 10;
/// A year to begin looking: one with a leap day.
const SAMPLED_FROM: i16 = 2024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RecurrenceParts", into = "RecurrenceParts")]
pub struct Recurrence {
    cron: Cron,
    text: String,
    duration_minutes: u32,
    zone: Zone,
    from: Option<Date>,
    until: Option<Date>,
}

/// A recurrence as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecurrenceParts {
    pub cron: String,
    pub duration_minutes: u32,
    pub time_zone: String,
    /// The first day, by the clock on the wall, on which one may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last such day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl TryFrom<RecurrenceParts> for Recurrence {
    type Error = BadPlan;

    fn try_from(parts: RecurrenceParts) -> Result<Self, BadPlan> {
        let text = parts.cron.split_whitespace().collect::<Vec<_>>().join(" ");
        let cron = parse(&text)?;
        if !(1..=MAX_DURATION_MINUTES).contains(&parts.duration_minutes) {
            return Err(BadPlan::Duration);
        }
        let zone = Zone::parse(&parts.time_zone)?;
        let from = parts.from.as_deref().map(date).transpose()?;
        let until = parts.until.as_deref().map(date).transpose()?;
        if from.zip(until).is_some_and(|(from, until)| until < from) {
            return Err(BadPlan::UntilBeforeFrom);
        }
        Ok(Self { cron, text, duration_minutes: parts.duration_minutes, zone, from, until })
    }
}

impl From<Recurrence> for RecurrenceParts {
    fn from(recurrence: Recurrence) -> Self {
        Self {
            cron: recurrence.text,
            duration_minutes: recurrence.duration_minutes,
            time_zone: recurrence.zone.name().to_owned(),
            from: recurrence.from.map(|day| day.to_string()),
            until: recurrence.until.map(|day| day.to_string()),
        }
    }
}

impl Recurrence {
    /// A recurrence that makes sense: it happens, and is over before it begins again.
    ///
    /// # Errors
    /// Says which part is to be mended.
    pub fn new(parts: RecurrenceParts) -> Result<Self, BadPlan> {
        let recurrence = Self::try_from(parts)?;
        let starts = recurrence.sampled_starts();
        if starts.is_empty() {
            return Err(BadPlan::NeverHappens);
        }
        let pauses = starts.windows(2).filter_map(|pair| match pair {
            [one, next] => u64::try_from(next.duration_since(*one).as_mins()).ok(),
            _ => None,
        });
        match pauses.min() {
            Some(period) if u64::from(recurrence.duration_minutes) >= period => {
                Err(BadPlan::LongerThanPeriod(period))
            }
            _ => Ok(recurrence),
        }
    }

    fn sampled_starts(&self) -> Vec<DateTime> {
        let first = DateTime::constant(SAMPLED_FROM, 1, 1, 0, 0, 0, 0);
        let Ok(last) = first.checked_add(SAMPLED_YEARS.years()) else { return Vec::new() };
        let next = |from: &DateTime, inclusive: bool| {
            self.cron.find_next_occurrence(from, inclusive).ok().filter(|start| *start <= last)
        };
        std::iter::successors(next(&first, true), |start| next(start, false))
            .take(MAX_SAMPLED)
            .collect()
    }

    /// The occurrence that contains `now`, or else the next.
    #[must_use]
    pub fn occurrence(&self, now: Timestamp) -> Option<Interval> {
        self.from(now.minus_ms(self.duration_ms()).plus_ms(1))
    }

    /// The occurrence that begins at `moment` or is the first to begin after it.
    #[must_use]
    pub fn from(&self, moment: Timestamp) -> Option<Interval> {
        let mut wall = full_minute(self.zone.first_wall(moment)?)?;
        if let Some(from) = self.from {
            wall = wall.max(from.to_datetime(Time::midnight()));
        }
        let wall = self.cron.find_next_occurrence(&wall, true).ok()?;
        if self.until.is_some_and(|until| wall.date() > until) {
            return None;
        }
        let starts_at = self.zone.moment(wall)?;
        Some(Interval { starts_at, ends_at: starts_at.plus_ms(self.duration_ms()) })
    }

    fn duration_ms(&self) -> u64 {
        u64::from(self.duration_minutes) * MINUTE_MS
    }
}

fn parse(text: &str) -> Result<Cron, BadPlan> {
    if text.len() > MAX_CRON_LEN {
        return Err(BadPlan::Cron(format!("at most {MAX_CRON_LEN} characters")));
    }
    if text.split(' ').count() != 5 {
        return Err(BadPlan::Cron("for instance `0 2 * * SUN`".to_owned()));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| BadPlan::Cron(error.to_string()))
}

/// The first full minute from here on: patterns know no seconds.
fn full_minute(wall: DateTime) -> Option<DateTime> {
    let whole = wall.with().second(0).subsec_nanosecond(0).build().ok()?;
    if whole == wall {
        return Some(whole);
    }
    whole.checked_add(SignedDuration::from_mins(1)).ok()
}
