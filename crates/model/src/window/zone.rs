//! From the clock on the wall to moments, and back.
//!
//! When clocks go forward, wall times are left out; what was to happen in such a gap happens at
//! the first moment after it. When they go back, wall times come twice; what was to happen in
//! such a fold happens at the first of the two. So a later wall time never is an earlier moment,
//! which is what [`Zone::first_wall`] builds on.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneTransition};

use super::BadPlan;
use crate::Timestamp;

/// The length that a zone's name can have.
const MAX_ZONE_LEN: usize = 64;

/// A time zone of the IANA database that is part of the binary.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Zone {
    zone: TimeZone,
    name: String,
}

impl Zone {
    pub fn parse(text: &str) -> Result<Self, BadPlan> {
        let unknown = || BadPlan::TimeZone(text.chars().take(MAX_ZONE_LEN).collect());
        let text = text.trim();
        if text.len() > MAX_ZONE_LEN {
            return Err(unknown());
        }
        let zone = TimeZone::get(text).map_err(|_| unknown())?;
        let name = zone.iana_name().ok_or_else(unknown)?.to_owned();
        Ok(Self { zone, name })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first moment at which a wall clock shows this time, or has passed it.
    pub fn moment(&self, wall: DateTime) -> Option<Timestamp> {
        let at = |offset: Offset| offset.to_timestamp(wall).ok();
        let found = match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset)?,
            AmbiguousOffset::Fold { before, .. } => at(before)?,
            // With the offset before it, the time would lie after the change.
            AmbiguousOffset::Gap { before, .. } => self.change_until(at(before)?)?.timestamp(),
        };
        Some(Timestamp(found.as_millisecond()))
    }

    /// The lowest wall time whose moment is not before `moment`.
    pub fn first_wall(&self, moment: Timestamp) -> Option<DateTime> {
        let at = stamp(moment)?;
        let wall = self.zone.to_datetime(at);
        let Some(change) = self.change_until(at) else { return Some(wall) };
        let before = change.timestamp().checked_sub(SignedDuration::from_nanos(1)).ok()?;
        // What the clock would show at the change, had it not been changed: where a gap begins
        // and where a fold ends.
        let unchanged = self.zone.to_offset(before).to_datetime(change.timestamp());
        if change.timestamp() == at {
            return Some(unchanged);
        }
        Some(wall.max(unchanged))
    }

    /// The last change of the clocks at or before a moment.
    fn change_until(&self, at: jiff::Timestamp) -> Option<TimeZoneTransition<'_>> {
        let after = at.checked_add(SignedDuration::from_nanos(1)).ok()?;
        self.zone.preceding(after).next()
    }
}

fn stamp(moment: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(moment.0).ok()
}
