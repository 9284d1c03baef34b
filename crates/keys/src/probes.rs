//! How often an unknown token may reach the database.
//!
//! A token that no filter knows is most likely junk, but it may be a key that another node minted
//! a moment ago. So it may be asked for, as long as two budgets last: one for the whole node and
//! one for each address. What the filter let pass by mistake is charged to the node's budget
//! afterwards, so that the sum stays within it.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::limiter::SubjectKey;

/// What unknown tokens may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeBudget {
    /// Reads in one second, in all.
    pub per_second: u32,
    /// Reads in one second, for each address.
    pub per_address_per_second: u32,
}

impl Default for ProbeBudget {
    fn default() -> Self {
        Self { per_second: 200, per_address_per_second: 5 }
    }
}

/// Addresses whose budgets are remembered; one that was forgotten begins with a full one.
const MAX_ADDRESSES: usize = 65_536;

pub(crate) struct Probes {
    budget: ProbeBudget,
    all: Mutex<Bucket>,
    /// Of each client, as limits count them too.
    addresses: Cache<SubjectKey, Bucket>,
}

/// Refilled continuously, full after a second. `filled_at` counts milliseconds of the clock.
#[derive(Clone, Copy)]
struct Bucket {
    milli: u64,
    filled_at_ms: u64,
}

impl Bucket {
    const fn full(rate: u32, now_ms: u64) -> Self {
        Self { milli: rate as u64 * 1_000, filled_at_ms: now_ms }
    }

    /// As it is at `now_ms`.
    fn refilled(self, rate: u32, now_ms: u64) -> Self {
        let full = u64::from(rate) * 1_000;
        let gained = now_ms.saturating_sub(self.filled_at_ms).saturating_mul(u64::from(rate));
        Self { milli: self.milli.saturating_add(gained).min(full), filled_at_ms: now_ms }
    }

    fn spend(&mut self) -> bool {
        match self.milli.checked_sub(1_000) {
            Some(left) => {
                self.milli = left;
                true
            }
            None => false,
        }
    }
}

impl Probes {
    pub fn new(budget: ProbeBudget, now: Duration) -> Self {
        Self {
            budget,
            all: Mutex::new(Bucket::full(budget.per_second, ms(now))),
            addresses: Cache::new(MAX_ADDRESSES),
        }
    }

    /// Whether one more unknown token may be asked for.
    pub fn take(&self, address: Option<IpAddr>, now: Duration) -> bool {
        let now_ms = ms(now);
        let rate = self.budget.per_address_per_second;
        let mut of_address = None;
        if let Some(address) = address.map(SubjectKey::address) {
            let known = self.addresses.get(&address);
            let bucket = known.unwrap_or_else(|| Bucket::full(rate, now_ms));
            let mut bucket = bucket.refilled(rate, now_ms);
            if !bucket.spend() {
                return false;
            }
            of_address = Some((address, bucket));
        }
        if !self.take_from_all(now_ms) {
            return false;
        }
        if let Some((address, bucket)) = of_address {
            self.addresses.insert(address, bucket);
        }
        true
    }

    /// The filter let a stranger pass.
    pub fn charge(&self, now: Duration) {
        self.take_from_all(ms(now));
    }

    fn take_from_all(&self, now_ms: u64) -> bool {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        *all = all.refilled(self.budget.per_second, now_ms);
        all.spend()
    }
}

fn ms(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(probes: &Probes, address: &str, times: usize, now: Duration) -> usize {
        let address = address.parse().ok();
        (0..times).filter(|_| probes.take(address, now)).count()
    }

    #[test]
    fn both_budgets_hold_and_refill() {
        let budget = ProbeBudget { per_second: 12, per_address_per_second: 5 };
        let probes = Probes::new(budget, Duration::ZERO);
        assert_eq!(taken(&probes, "203.0.113.1", 100, Duration::ZERO), 5);
        assert_eq!(taken(&probes, "203.0.113.2", 100, Duration::ZERO), 5);
        assert_eq!(taken(&probes, "203.0.113.3", 100, Duration::ZERO), 2);
        assert_eq!(taken(&probes, "203.0.113.1", 100, SECOND), 5);
    }

    #[test]
    fn a_mapped_address_and_a_whole_network_share_one() {
        let probes = Probes::new(ProbeBudget::default(), Duration::ZERO);
        assert_eq!(taken(&probes, "203.0.113.1", 3, Duration::ZERO), 3);
        assert_eq!(taken(&probes, "::ffff:203.0.113.1", 9, Duration::ZERO), 2);
        assert_eq!(taken(&probes, "2001:db8::1", 3, Duration::ZERO), 3);
        assert_eq!(taken(&probes, "2001:db8::ffff:1", 9, Duration::ZERO), 2);
    }

    #[test]
    fn mistakes_of_the_filter_count() {
        let budget = ProbeBudget { per_second: 10, per_address_per_second: 10 };
        let probes = Probes::new(budget, Duration::ZERO);
        (0..9).for_each(|_| probes.charge(Duration::ZERO));
        assert_eq!(taken(&probes, "203.0.113.1", 100, Duration::ZERO), 1);
    }
}
