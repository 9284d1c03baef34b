//! One request's way through its limits: hold what is counted here, ask Redis for the rest,
//! keep all of it or give all of it back. A round that is dropped on the way gives back too.

use std::sync::atomic::Ordering;

use model::key::limit::{Cell, Mode, Quota, WhenDown};

use super::background::Lapsing;
use super::degrade::share;
use super::lease::{self, Grant};
use super::local::{Seen, Slot};
use super::redis::{Answer, Ask, Correction, Counted, Redis, Reply, counter_key};
use super::{Inner, Outcome, Standing, Take};

/// How often one request follows a Redis that becomes another one.
const MAX_LIVES: usize = 3;
/// When a limit that is closed without Redis may be tried again.
const CLOSED_RETRY_MS: u64 = 1_000;

pub(super) struct Round<'a> {
    inner: &'a Inner,
    takes: &'a [Take<'a>],
    consume: bool,
    now_ms: u64,
    standings: Vec<Standing>,
    /// Takes that Redis decides.
    asked: Vec<usize>,
    held: Vec<(usize, Held)>,
    owed: Vec<(usize, Owed)>,
    refused: bool,
}

/// What was counted here and may have to be undone.
#[derive(Clone, Copy)]
enum Held {
    Own,
    Uncounted,
    Leased { lapses_ms: u64 },
}

/// What is being told to Redis, and is to be told again if it was not heard.
struct Owed {
    cells: Vec<Cell>,
    /// The life in which this node was counted before, and the one that is being told. When they
    /// differ, the cells are all that this node admitted.
    before: i64,
    told: i64,
    /// It asks for a lease too.
    leads: bool,
}

/// Where a limit is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Here,
    Shared { leased: bool },
}

impl<'a> Round<'a> {
    pub fn new(inner: &'a Inner, takes: &'a [Take<'a>], consume: bool) -> Self {
        Self {
            inner,
            takes,
            consume,
            now_ms: inner.now_ms(),
            standings: Vec::with_capacity(takes.len()),
            asked: Vec::new(),
            held: Vec::new(),
            owed: Vec::new(),
            refused: false,
        }
    }

    /// Counts what needs no question, and notes what does.
    pub fn hold(&mut self) {
        for index in 0..self.takes.len() {
            let standing = match self.course(index) {
                Course::Here => self.count_here(index),
                Course::Shared { leased } => {
                    let from_lease = if leased { self.count_leased(index) } else { None };
                    from_lease.unwrap_or_else(|| self.count_shared(index))
                }
            };
            self.refused |= standing.exceeded;
            self.standings.push(standing);
        }
    }

    pub fn must_ask(&self) -> bool {
        !self.asked.is_empty() && !self.refused
    }

    pub async fn ask(&mut self, redis: &Redis) {
        for _ in 0..MAX_LIVES {
            let asks = self.asks(redis.life());
            let reply = redis.ask(&asks, self.inner.nodes(), self.consume).await;
            match reply {
                Ok(Reply::Counted(counted)) => {
                    self.inner.breaker.succeeded();
                    self.counted(&counted);
                    return;
                }
                Ok(Reply::AnotherLife) => {
                    self.inner.breaker.succeeded();
                    self.put_back_owed();
                }
                Err(failed) => {
                    self.inner.breaker.failed(&failed);
                    break;
                }
            }
        }
        self.put_back_owed();
        self.now_ms = self.inner.now_ms();
        for index in std::mem::take(&mut self.asked) {
            self.standings[index] = self.count_degraded(index);
            self.refused |= self.standings[index].exceeded;
        }
    }

    pub fn finish(mut self) -> Outcome {
        if self.refused {
            for (index, _) in &self.held {
                self.standings[*index].remaining += self.takes[*index].cost;
            }
        } else {
            self.held.clear();
        }
        Outcome { allowed: !self.refused, limits: std::mem::take(&mut self.standings) }
    }

    fn course(&self, index: usize) -> Course {
        let limit = self.takes[index].limit;
        match limit.mode {
            _ if self.inner.redis.is_none() => Course::Here,
            Mode::Local => Course::Here,
            Mode::Strict => Course::Shared { leased: false },
            Mode::Leased => Course::Shared {
                leased: limit.limit >= lease::MIN_LIMIT && limit.window_ms >= lease::MIN_WINDOW_MS,
            },
        }
    }

    fn with<R>(&self, index: usize, work: impl FnOnce(&mut Slot, Quota) -> R) -> R {
        let take = &self.takes[index];
        let quota = Quota::of(take.limit);
        let (name, now_ms) = (&take.limit.name, self.now_ms);
        self.inner.subjects.with(&take.subject, name, quota, now_ms, |slot| work(slot, quota))
    }

    fn keep_in_mind(&mut self, index: usize, held: Held) {
        // A request's only limit is never undone once it is counted.
        if self.consume && self.takes.len() > 1 {
            self.held.push((index, held));
        }
    }

    fn count_here(&mut self, index: usize) -> Standing {
        let (cost, now_ms, consume) = (self.takes[index].cost, self.now_ms, self.consume);
        let standing = self.with(index, |slot, quota| {
            let fits = match consume {
                true => slot.own.take(quota, now_ms, cost),
                false => slot.own.peek(quota, now_ms, cost),
            };
            own_standing(slot, quota, now_ms, if fits { None } else { Some(cost) })
        });
        if !standing.exceeded {
            self.keep_in_mind(index, Held::Own);
        }
        standing
    }

    /// None: there is no lease that has so much.
    fn count_leased(&mut self, index: usize) -> Option<Standing> {
        let (cost, now_ms, consume) = (self.takes[index].cost, self.now_ms, self.consume);
        let life = self.inner.redis.as_ref()?.life();
        let (standing, held) = self.with(index, |slot, quota| {
            if !slot.lease.has(now_ms, life, cost) {
                return None;
            }
            let held = Held::Leased { lapses_ms: slot.lease.lapses_ms() };
            if consume {
                slot.lease.spend(now_ms, life, cost);
                slot.own.add(quota, now_ms, cost);
            }
            Some((seen_standing(slot, quota, now_ms), held))
        })?;
        self.keep_in_mind(index, held);
        Some(standing)
    }

    fn count_shared(&mut self, index: usize) -> Standing {
        if !self.inner.breaker.is_up() {
            return self.count_degraded(index);
        }
        self.asked.push(index);
        self.with(index, |slot, quota| seen_standing(slot, quota, self.now_ms))
    }

    /// Redis does not answer: as the limit itself says.
    fn count_degraded(&mut self, index: usize) -> Standing {
        let Take { limit, cost, .. } = self.takes[index];
        let (now_ms, consume, nodes) = (self.now_ms, self.consume, self.inner.nodes());
        self.inner.degraded.fetch_add(1, Ordering::Relaxed);
        let mut standing = self.with(index, |slot, quota| {
            let part = Quota { limit: share(quota.limit, nodes), ..quota };
            let fits = match limit.when_down {
                WhenDown::LocalShare => slot.own.peek(part, now_ms, cost),
                WhenDown::Open => true,
                WhenDown::Closed => false,
            };
            if fits && consume {
                slot.add_uncounted(now_ms, cost);
            }
            let standing = own_standing(slot, part, now_ms, if fits { None } else { Some(cost) });
            Standing { limit: quota.limit, degraded: true, ..standing }
        });
        if limit.when_down == WhenDown::Closed {
            (standing.remaining, standing.reset_ms) = (0, CLOSED_RETRY_MS);
        }
        if !standing.exceeded {
            self.keep_in_mind(index, Held::Uncounted);
        }
        standing
    }

    fn asks(&mut self, life: i64) -> Vec<Ask> {
        self.now_ms = self.inner.now_ms();
        let mut asks = Vec::with_capacity(self.asked.len());
        for index in self.asked.clone() {
            let Take { limit, subject, cost } = self.takes[index];
            let leased = self.course(index) == (Course::Shared { leased: true });
            let (now_ms, consume) = (self.now_ms, self.consume);
            let mut ask = Ask {
                key: counter_key(&subject, &limit.name),
                quota: Quota::of(limit),
                cost,
                want: 0,
                lasts_ms: lease::lasts_ms(limit.window_ms),
                corrections: Vec::new(),
            };
            let owed = self.with(index, |slot, quota| {
                let mut owed = owed(slot, quota, now_ms, life);
                for cell in &owed.cells {
                    let age_ms = now_ms.saturating_sub(cell.last_ms);
                    ask.corrections.push(Correction::Missing { age_ms, count: cell.count });
                }
                if consume {
                    slot.uncounted.clear();
                    slot.counted_in = life;
                    let rest = slot.lease.end(life);
                    ask.corrections.extend(rest.map(Correction::from));
                }
                if consume && leased {
                    let want = slot.lease.want(now_ms, ask.lasts_ms);
                    owed.leads = want.is_some();
                    ask.want = want.unwrap_or(0);
                }
                owed
            });
            if consume {
                self.owed.push((index, owed));
            }
            asks.push(ask);
        }
        asks
    }

    fn counted(&mut self, counted: &Counted) {
        let owed = std::mem::take(&mut self.owed);
        self.refused = !counted.allowed;
        let mut lapsing = Vec::new();
        let asked = std::mem::take(&mut self.asked).into_iter().zip(&counted.limits);
        for (n, (index, answer)) in asked.enumerate() {
            let leads = owed.get(n).is_some_and(|(_, owed)| owed.leads);
            let take = &self.takes[index];
            let consumed = self.consume && counted.allowed;
            let (asked_ms, now_ms) = (self.now_ms, self.inner.now_ms());
            self.standings[index] = self.with(index, |slot, quota| {
                if leads {
                    slot.lease.asked();
                }
                if consumed {
                    slot.lease.used(take.cost);
                    slot.own.add(quota, now_ms, take.cost);
                }
                if let Some(grant) = grant(counted, answer, asked_ms, quota) {
                    if !std::mem::replace(&mut slot.lease.awaited, true) {
                        lapsing.push(Lapsing::of(take, grant.lapses_ms));
                    }
                    slot.lease.granted(now_ms, &grant);
                }
                slot.seen = Seen {
                    remaining: quota.limit.saturating_sub(answer.used),
                    resets_at_ms: now_ms + answer.reset_ms,
                };
                let standing = seen_standing(slot, quota, now_ms);
                Standing { exceeded: answer.refused, ..standing }
            });
        }
        self.inner.await_lapses(lapsing);
    }

    fn put_back_owed(&mut self) {
        for (index, owed) in std::mem::take(&mut self.owed) {
            self.with(index, |slot, quota| {
                if owed.leads {
                    slot.lease.asked();
                }
                // In yet another life somebody has told everything since.
                if slot.counted_in != owed.told {
                    return;
                }
                if owed.before != owed.told {
                    slot.counted_in = owed.before;
                    return;
                }
                for cell in owed.cells {
                    slot.uncounted.add(quota, cell.last_ms, cell.count);
                }
            });
        }
    }

    fn give_back_held(&mut self) {
        for (index, held) in std::mem::take(&mut self.held) {
            let (at_ms, cost) = (self.now_ms, self.takes[index].cost);
            self.with(index, |slot, _| {
                slot.own.give_back(at_ms, cost);
                match held {
                    Held::Own => {}
                    Held::Uncounted => slot.uncounted.give_back(at_ms, cost),
                    Held::Leased { lapses_ms } => slot.lease.unspend(lapses_ms, cost),
                }
            });
        }
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.give_back_held();
        self.put_back_owed();
    }
}

/// What Redis must be told of a slot: what was admitted without it, or, when it is not the one
/// that counted the rest, everything.
fn owed(slot: &mut Slot, quota: Quota, now_ms: u64, life: i64) -> Owed {
    let before = slot.counted_in;
    let missing = if before == life { &mut slot.uncounted } else { &mut slot.own };
    let _ = missing.used(quota, now_ms);
    Owed { cells: missing.cells().collect(), before, told: life, leads: false }
}

fn grant(counted: &Counted, answer: &Answer, asked_ms: u64, quota: Quota) -> Option<Grant> {
    let lasts_ms = lease::lasts_ms(quota.window_ms);
    (answer.extra > 0).then(|| Grant {
        count: answer.extra,
        lapses_ms: asked_ms + lasts_ms,
        counted_at: counted.now_ms.saturating_add_unsigned(lasts_ms),
        life: counted.life,
    })
}

/// As this node has counted it. `refused`: the cost that did not fit.
fn own_standing(slot: &mut Slot, quota: Quota, now_ms: u64, refused: Option<u64>) -> Standing {
    Standing {
        name: slot.name.clone(),
        limit: quota.limit,
        window_ms: quota.window_ms,
        remaining: slot.own.remaining(quota, now_ms),
        reset_ms: slot.own.reset_ms(quota, now_ms, refused.unwrap_or(0)),
        exceeded: refused.is_some(),
        degraded: false,
    }
}

/// As Redis said last; what this node has leased is not used yet.
fn seen_standing(slot: &Slot, quota: Quota, now_ms: u64) -> Standing {
    Standing {
        name: slot.name.clone(),
        limit: quota.limit,
        window_ms: quota.window_ms,
        remaining: (slot.seen.remaining + slot.lease.left()).min(quota.limit),
        reset_ms: slot.seen.resets_at_ms.saturating_sub(now_ms),
        exceeded: false,
        degraded: false,
    }
}
