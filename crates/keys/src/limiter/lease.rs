//! A lease: uses that Redis counted for this node before they happen.
//!
//! Redis grants a lease together with a request that had to ask anyway, at most a fiftieth of the
//! limit, at most a quarter of this node's part of what remains, and not more than the node used
//! in a lease's time lately: a node with little traffic leases nothing and is exact. A lease
//! lasts a four-hundredth of the window, by the node's clock from before it asked, and Redis
//! counts it at its end. So each use is counted at least as long as the window goes on after it:
//! *leases never admit too much*, with any number of nodes. What they cost is that a use is
//! counted up to 0.25 % of the window longer than it must, and that unused leases of other nodes
//! are in the way until they end; what is unused is given back then. In the simulated traffic of
//! the tests, with the sub-windows of `Window`, at least 99 % of what an exact log admits is
//! admitted.

/// Into a lease's time the window goes so often.
const LEASES_PER_WINDOW: u64 = 400;
/// Limits below are counted strictly: a lease would be too much of them.
pub(super) const MIN_LIMIT: u64 = 100;
/// Shorter windows would have leases shorter than a question to Redis takes.
pub(super) const MIN_WINDOW_MS: u64 = 1_000;
/// Only one request of a node asks for a lease at a time; if it is never heard of again, another
/// may after so long.
const ASKING_MS: u64 = 1_000;

pub(super) const fn lasts_ms(window_ms: u64) -> u64 {
    window_ms.div_ceil(LEASES_PER_WINDOW)
}

#[derive(Default)]
pub(super) struct Lease {
    left: u64,
    lapses_ms: u64,
    /// When Redis counts it, by the clock of Redis, and in which life.
    counted_at: i64,
    life: i64,
    asking_until_ms: u64,
    /// What was used since the pace was last taken.
    paced_ms: u64,
    spent: u64,
    /// Whether somebody will come to give back the rest.
    pub awaited: bool,
}

/// What a granted lease is.
pub(super) struct Grant {
    pub count: u64,
    pub lapses_ms: u64,
    pub counted_at: i64,
    pub life: i64,
}

/// What comes back: counted there, so many.
pub(super) struct Rest {
    pub counted_at: i64,
    pub count: u64,
}

impl Lease {
    /// Uses `cost` of it, if it has so much.
    pub fn spend(&mut self, now_ms: u64, life: i64, cost: u64) -> bool {
        let good = self.has(now_ms, life, cost);
        if good {
            self.left -= cost;
            self.spent += cost;
        }
        good
    }

    pub const fn has(&self, now_ms: u64, life: i64, cost: u64) -> bool {
        cost > 0 && self.left >= cost && now_ms < self.lapses_ms && self.life == life
    }

    /// Undoes a `spend`, unless another lease has come since.
    pub fn unspend(&mut self, lapses_ms: u64, cost: u64) {
        if self.lapses_ms == lapses_ms {
            self.left += cost;
        }
    }

    pub const fn left(&self) -> u64 {
        self.left
    }

    pub const fn lapses_ms(&self) -> u64 {
        self.lapses_ms
    }

    pub const fn is_held(&self, now_ms: u64) -> bool {
        self.left > 0 && now_ms < self.lapses_ms
    }

    /// How much to ask for beyond the cost of the request that asks: the pace of late. None:
    /// another request is asking.
    pub fn want(&mut self, now_ms: u64, lasts_ms: u64) -> Option<u64> {
        if now_ms < self.asking_until_ms {
            return None;
        }
        self.asking_until_ms = now_ms + ASKING_MS;
        let passed_ms = now_ms.saturating_sub(self.paced_ms);
        if passed_ms < lasts_ms {
            return Some(self.spent);
        }
        let pace = u128::from(self.spent) * u128::from(lasts_ms) / u128::from(passed_ms);
        (self.paced_ms, self.spent) = (now_ms, 0);
        Some(u64::try_from(pace).unwrap_or(u64::MAX))
    }

    /// A request has used `cost` that Redis counted for it alone.
    pub const fn used(&mut self, cost: u64) {
        self.spent = self.spent.saturating_add(cost);
    }

    /// The request that asked for a lease has its answer, or gets none.
    pub const fn asked(&mut self) {
        self.asking_until_ms = 0;
    }

    /// Takes over what was granted. Together with what is left of another grant it ends when the
    /// first of them does.
    pub fn granted(&mut self, now_ms: u64, grant: &Grant) {
        if self.is_held(now_ms) && self.life == grant.life {
            self.left += grant.count;
            self.lapses_ms = self.lapses_ms.min(grant.lapses_ms);
            self.counted_at = self.counted_at.min(grant.counted_at);
            return;
        }
        self.left = grant.count;
        self.lapses_ms = grant.lapses_ms;
        self.counted_at = grant.counted_at;
        self.life = grant.life;
    }

    /// Ends it. None: there is nothing to give back, or the Redis that counted it is gone.
    pub fn end(&mut self, life: i64) -> Option<Rest> {
        let count = std::mem::take(&mut self.left);
        let known = count > 0 && self.life == life;
        known.then_some(Rest { counted_at: self.counted_at, count })
    }
}
