//! What no request waits for: asking a Redis that did not answer whether it does again, giving
//! back what is left of ended leases, forgetting what is idle.

use std::sync::{PoisonError, Weak};
use std::time::Duration;

use model::key::limit::Quota;

use super::lease::{self, Rest};
use super::redis::{Ask, Correction, Redis, counter_key};
use super::subject::SubjectKey;
use super::{Inner, Take};

const TICK: Duration = Duration::from_millis(100);
/// Leases whose end is awaited, at the most; what is left of others counts for a whole window.
const MAX_LAPSING: usize = 1 << 14;
/// Leases given back with one question.
const MAX_RESTS: usize = 64;

/// A lease that ends.
pub(super) struct Lapsing {
    at_ms: u64,
    subject: SubjectKey,
    name: Box<str>,
    quota: Quota,
}

impl Lapsing {
    pub fn of(take: &Take<'_>, at_ms: u64) -> Self {
        Self {
            at_ms,
            subject: take.subject,
            name: take.limit.name.as_str().into(),
            quota: Quota::of(take.limit),
        }
    }
}

impl From<Rest> for Correction {
    fn from(rest: Rest) -> Self {
        Self::Unused { counted_at: rest.counted_at, count: rest.count }
    }
}

pub(super) async fn run(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.tick().await;
    }
}

impl Inner {
    pub async fn tick(&self) {
        self.subjects.prune(self.now_ms());
        let Some(redis) = &self.redis else { return };
        if self.breaker.is_up() {
            self.give_back_rests(redis).await;
        } else {
            self.ask_again(redis).await;
        }
    }

    /// Notes leases, to look at them when they end.
    pub fn await_lapses(&self, lapsing: Vec<Lapsing>) {
        if lapsing.is_empty() {
            return;
        }
        let mut awaited = self.lapsing.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_LAPSING.saturating_sub(awaited.len());
        let mut lapsing = lapsing.into_iter();
        awaited.extend(lapsing.by_ref().take(room));
        drop(awaited);
        for late in lapsing {
            self.subjects.with_known(&late.subject, &late.name, |slot| slot.lease.awaited = false);
        }
    }

    async fn ask_again(&self, redis: &Redis) {
        match redis.ask(&[], self.nodes(), false).await {
            Ok(_) => self.breaker.succeeded(),
            Err(failed) => self.breaker.failed(&failed),
        }
    }

    async fn give_back_rests(&self, redis: &Redis) {
        let asks = self.rests(redis.life());
        for asks in asks.chunks(MAX_RESTS) {
            // What is not heard is counted until its window is over: nothing is admitted wrongly.
            match redis.ask(asks, self.nodes(), true).await {
                Ok(_) => self.breaker.succeeded(),
                Err(failed) => self.breaker.failed(&failed),
            }
        }
    }

    fn rests(&self, life: i64) -> Vec<Ask> {
        let now_ms = self.now_ms();
        let mut awaited = self.lapsing.lock().unwrap_or_else(PoisonError::into_inner);
        let ended: Vec<Lapsing> = awaited.extract_if(.., |lease| lease.at_ms <= now_ms).collect();
        drop(awaited);
        let (mut asks, mut still_awaited) = (Vec::new(), Vec::new());
        for lapsing in ended {
            let mut renewed_until = None;
            let rest = self.subjects.with_known(&lapsing.subject, &lapsing.name, |slot| {
                if slot.lease.is_held(now_ms) {
                    renewed_until = Some(slot.lease.lapses_ms());
                    return None;
                }
                slot.lease.awaited = false;
                slot.lease.end(life)
            });
            if let Some(at_ms) = renewed_until {
                still_awaited.push(Lapsing { at_ms, ..lapsing });
            } else if let Some(rest) = rest.flatten() {
                asks.push(lapsing.ask(rest));
            }
        }
        self.await_lapses(still_awaited);
        asks
    }
}

impl Lapsing {
    /// A question that takes nothing.
    fn ask(&self, rest: Rest) -> Ask {
        Ask {
            key: counter_key(&self.subject, &self.name),
            quota: self.quota,
            cost: 0,
            want: 0,
            lasts_ms: lease::lasts_ms(self.quota.window_ms),
            corrections: vec![rest.into()],
        }
    }
}
