//! The failure budget: how long an endpoint may fail before it is disabled.
//!
//! An endpoint fails from its first failure on until any delivery to it succeeds. It is warned of
//! at shares of the budget, and disabled when the budget's time has passed *and* several failures
//! lie far apart: one burst, however large, disables nothing. Only a failure moves anything: an
//! endpoint that nothing is sent to does not run out of budget.

use crate::Timestamp;

const HOUR_MS: u64 = 3_600_000;
/// Shares of the budget that are warned of, in percent.
pub const WARNINGS: [u8; 3] = [50, 75, 100];

/// How much failing is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureBudget {
    /// From the first failure to the last one; 0: nothing is ever disabled, or warned of.
    pub lasts_ms: u64,
    /// So many failures must be far apart.
    pub failures: u32,
    /// This much is far.
    pub apart_ms: u64,
}

impl Default for FailureBudget {
    fn default() -> Self {
        Self { lasts_ms: 5 * 24 * HOUR_MS, failures: 3, apart_ms: 12 * HOUR_MS }
    }
}

/// What a process saw of an endpoint in a while: its last success, and the failures after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub succeeded_at: Option<Timestamp>,
    pub failures: u64,
    pub first_failure_at: Timestamp,
    pub last_failure_at: Timestamp,
}

impl Tally {
    pub fn succeeded(&mut self, at: Timestamp) {
        *self = Self { succeeded_at: Some(at), ..Self::default() };
    }

    pub fn failed(&mut self, at: Timestamp) {
        if self.failures == 0 {
            self.first_failure_at = at;
        }
        self.failures += 1;
        self.last_failure_at = at;
    }

    /// With what was seen later.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        if later.succeeded_at.is_some() || self.failures == 0 {
            return Self { succeeded_at: later.succeeded_at.or(self.succeeded_at), ..later };
        }
        let last_failure_at =
            if later.failures > 0 { later.last_failure_at } else { self.last_failure_at };
        Self { failures: self.failures + later.failures, last_failure_at, ..self }
    }
}

/// An endpoint that has failed since some moment without any success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    pub since: Timestamp,
    pub last_failure_at: Timestamp,
    pub failures: u64,
    /// Failures that came long after the one before that was counted so.
    pub far_apart: u32,
    pub far_apart_at: Timestamp,
    /// The last of [`WARNINGS`] that was given; 0: none.
    pub warned: u8,
}

/// What is to be done about an endpoint that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// A share of the budget to warn of, in percent.
    pub warn: Option<u8>,
    pub disable: bool,
}

impl Failing {
    /// From one failure on.
    #[must_use]
    pub const fn begun(at: Timestamp) -> Self {
        Self {
            since: at,
            last_failure_at: at,
            failures: 1,
            far_apart: 1,
            far_apart_at: at,
            warned: 0,
        }
    }

    /// What is left of it after a success; none when no failure came later.
    #[must_use]
    pub fn after_success(self, at: Timestamp) -> Option<Self> {
        if at < self.since {
            return Some(self);
        }
        (at < self.last_failure_at).then(|| Self::begun(self.last_failure_at))
    }

    /// With a process's tally; none when it fails no more. Tallies of several processes may come
    /// in any order.
    #[must_use]
    pub fn with(before: Option<Self>, tally: &Tally, apart_ms: u64) -> Option<Self> {
        let kept = match tally.succeeded_at {
            Some(at) => before.and_then(|before| before.after_success(at)),
            None => before,
        };
        if tally.failures == 0 {
            return kept;
        }
        let mut failing =
            kept.unwrap_or(Self { failures: 0, ..Self::begun(tally.first_failure_at) });
        failing.since = failing.since.min(tally.first_failure_at);
        failing.failures += tally.failures;
        failing.last_failure_at = failing.last_failure_at.max(tally.last_failure_at);
        if tally.last_failure_at.since_ms(failing.far_apart_at) >= apart_ms {
            failing.far_apart += 1;
            failing.far_apart_at = tally.last_failure_at;
        }
        Some(failing)
    }
}

impl FailureBudget {
    #[must_use]
    pub const fn is_endless(&self) -> bool {
        self.lasts_ms == 0
    }

    #[must_use]
    pub fn judge(&self, failing: &Failing) -> Verdict {
        if self.is_endless() {
            return Verdict::default();
        }
        let used_ms = failing.last_failure_at.since_ms(failing.since);
        let percent = used_ms.saturating_mul(100) / self.lasts_ms;
        let reached = WARNINGS.into_iter().rfind(|share| u64::from(*share) <= percent);
        Verdict {
            warn: reached.filter(|share| *share > failing.warned),
            disable: used_ms >= self.lasts_ms && failing.far_apart >= self.failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000);
    const BUDGET: FailureBudget =
        FailureBudget { lasts_ms: 5 * 24 * HOUR_MS, failures: 3, apart_ms: 12 * HOUR_MS };

    fn failed_at(at: Timestamp) -> Tally {
        let mut tally = Tally::default();
        tally.failed(at);
        tally
    }

    fn hours(hours: u64) -> Timestamp {
        START.plus_ms(hours * HOUR_MS)
    }

    /// Failures at these hours; answers what was done at which.
    fn walk(at: impl IntoIterator<Item = u64>) -> Vec<(u64, Verdict)> {
        let mut failing = None;
        let mut done = Vec::new();
        for hour in at {
            failing = Failing::with(failing, &failed_at(hours(hour)), BUDGET.apart_ms);
            let Some(failing) = &mut failing else { continue };
            let verdict = BUDGET.judge(failing);
            failing.warned = verdict.warn.unwrap_or(failing.warned);
            if verdict != Verdict::default() {
                done.push((hour, verdict));
            }
        }
        done
    }

    #[test]
    fn warnings_come_once_each_and_disabling_when_the_time_is_over() {
        let warned = |share| Verdict { warn: Some(share), disable: false };
        let expected = vec![
            (60, warned(50)),
            (90, warned(75)),
            (120, Verdict { warn: Some(100), disable: true }),
        ];
        assert_eq!(walk(0..=120), expected);
    }

    #[test]
    fn failures_must_lie_far_apart() {
        let done = walk([0, 1, 2, 3, 119, 120, 125, 130, 131]);
        let disabled: Vec<u64> =
            done.iter().filter(|(_, verdict)| verdict.disable).map(|(hour, _)| *hour).collect();
        // The third that is far from the one before is that at 131.
        assert_eq!(disabled, [131]);
        let burst = walk(std::iter::repeat_n(0, 100_000));
        assert_eq!(burst, Vec::new());
    }

    #[test]
    fn an_endpoint_that_gets_nothing_uses_nothing_up() {
        assert_eq!(walk([0, 12, 24, 30]), Vec::new());
    }

    #[test]
    fn any_success_begins_anew() {
        let mut failing = Failing::with(None, &failed_at(START), BUDGET.apart_ms);
        failing = Failing::with(failing, &failed_at(hours(119)), BUDGET.apart_ms);
        let mut tally = Tally::default();
        tally.succeeded(hours(119));
        assert_eq!(Failing::with(failing, &tally, BUDGET.apart_ms), None);
        tally.failed(hours(120));
        let begun = Failing::with(failing, &tally, BUDGET.apart_ms);
        assert_eq!(begun, Some(Failing::begun(hours(120))));
        assert_eq!(BUDGET.judge(&begun.unwrap()), Verdict::default());
    }

    #[test]
    fn tallies_of_several_processes_come_in_any_order() {
        let mut success = Tally::default();
        success.succeeded(hours(2));
        for earlier in [hours(1), hours(2)] {
            let failing = Failing::with(None, &failed_at(earlier), BUDGET.apart_ms);
            assert_eq!(Failing::with(failing, &success, BUDGET.apart_ms), None);
        }
        let later = Failing::with(None, &failed_at(hours(3)), BUDGET.apart_ms);
        assert_eq!(Failing::with(later, &success, BUDGET.apart_ms), later);
        let both = Failing::with(later, &failed_at(hours(1)), BUDGET.apart_ms);
        let left = Failing::with(both, &success, BUDGET.apart_ms);
        assert_eq!(left, Some(Failing::begun(hours(3))));
    }

    #[test]
    fn tallies_that_could_not_be_written_are_put_before_the_next() {
        let (mut one, mut two) = (failed_at(hours(1)), failed_at(hours(2)));
        one.failed(hours(1));
        let both = Tally { failures: 3, last_failure_at: hours(2), ..one };
        assert_eq!(one.then(two), both);
        assert_eq!(one.then(Tally::default()), one);
        two.succeeded(hours(3));
        assert_eq!(one.then(two), two);
        assert_eq!(two.then(one), Tally { succeeded_at: Some(hours(3)), ..one });
    }

    #[test]
    fn an_endless_budget_never_ends() {
        let endless = FailureBudget { lasts_ms: 0, ..BUDGET };
        let mut failing = Failing::begun(START);
        failing.last_failure_at = Timestamp::NEVER;
        failing.far_apart = 1_000;
        assert_eq!(endless.judge(&failing), Verdict::default());
    }
}
