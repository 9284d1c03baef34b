//! Retry schedules on the wire: the delay before each attempt in seconds, to the millisecond.

use std::time::Duration;

use model::retry::{MAX_ATTEMPTS, MAX_DELAY_MS, RetrySchedule};
use serde_json::Number;

use crate::problem::{Problem, Result};

/// Reads the field `retrySchedule`.
pub(crate) fn read(seconds: &[f64]) -> Result<RetrySchedule> {
    let delays_ms: Option<Vec<u64>> = seconds.iter().copied().map(to_ms).collect();
    delays_ms.and_then(|delays_ms| RetrySchedule::from_delays_ms(delays_ms).ok()).ok_or_else(|| {
        let max_s = MAX_DELAY_MS / 1_000;
        let why = format!(
            "must be 1 to {MAX_ATTEMPTS} delays in seconds, each from 0 to {max_s}, \
             such as [0, 1, 5, 15], or null for the usual schedule"
        );
        Problem::field("retrySchedule", why)
    })
}

fn to_ms(seconds: f64) -> Option<u64> {
    let delay = Duration::try_from_secs_f64(seconds).ok()?;
    u64::try_from(delay.as_millis()).ok()
}

/// Whole seconds are written as whole numbers.
pub(crate) fn write(schedule: &RetrySchedule) -> Vec<Number> {
    let write = |ms: &u64| match ms % 1_000 {
        0 => Some(Number::from(ms / 1_000)),
        _ => Number::from_f64(Duration::from_millis(*ms).as_secs_f64()),
    };
    schedule.delays_ms().iter().filter_map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_written() {
        let schedule = read(&[0.0, 0.25, 1.0, 0.001, 604_800.0]).unwrap();
        assert_eq!(schedule.delays_ms(), [0, 250, 1_000, 1, 604_800_000]);
        let text = serde_json::to_string(&write(&schedule)).unwrap();
        assert_eq!(text, "[0,0.25,1,0.001,604800]");
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for bad in [&[][..], &[-1.0], &[604_801.0], &[f64::MAX], &[0.0; 51]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
