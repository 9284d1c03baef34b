//! What was verified, added up in memory and settled in batches.
//!
//! A verification adds to one of a few shards and goes on. Every [`SETTLE_EVERY`] and at the end
//! the shards are emptied together into the database, in a few large batches; what could not be
//! written waits for the next time.
//! When a shard is full, only what is new to it is lost, and said so in the log.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use model::key::decide::Code;
use model::{KeyId, KeySecretId, Timestamp};
use store::{
    LATENCY_BOUNDS_US, LATENCY_BUCKETS, LastUse, MAX_TOUCHED, MAX_USAGE_BATCH, Store, UsageRow,
};

pub(crate) const SETTLE_EVERY: Duration = Duration::from_secs(5);
/// Rows (key × minute × outcome) and last uses held at one time, in all.
const MAX_ROWS: usize = 500_000;
/// What is kept of a user agent.
pub const MAX_USER_AGENT: usize = 256;
const SHARDS: usize = 16;
const MINUTE_MS: i64 = 60_000;

type RowId = (KeyId, Timestamp, Code);

#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    cost: u64,
    latency: [u64; LATENCY_BUCKETS],
}

#[derive(Default)]
struct Shard {
    sums: HashMap<RowId, Sum, RandomState>,
    uses: HashMap<KeySecretId, SecretUse>,
}

/// The last use of a secret, and its key: that chooses the shard.
#[derive(Clone)]
struct SecretUse {
    key: KeyId,
    last: LastUse,
}

pub(crate) struct Usage {
    shards: [Mutex<Shard>; SHARDS],
    spread: RandomState,
    lost: AtomicU64,
    settling: tokio::sync::Mutex<()>,
}

/// One verification of a known key.
pub(crate) struct Use<'a> {
    pub key: KeyId,
    pub secret: KeySecretId,
    pub outcome: Code,
    pub at: Timestamp,
    pub cost: u64,
    pub took: Duration,
    pub address: Option<IpAddr>,
    pub user_agent: Option<&'a str>,
}

impl Usage {
    pub fn new() -> Self {
        Self {
            shards: Default::default(),
            spread: RandomState::default(),
            lost: AtomicU64::new(0),
            settling: tokio::sync::Mutex::new(()),
        }
    }

    pub fn add(&self, used: &Use<'_>) {
        let minute = Timestamp(used.at.0 - used.at.0.rem_euclid(MINUTE_MS));
        let mut sum = Sum { count: 1, cost: used.cost, latency: [0; LATENCY_BUCKETS] };
        sum.latency[bucket(used.took)] = 1;
        let mut shard = self.shard(&used.key);
        self.add_sum(&mut shard, (used.key, minute, used.outcome), &sum);
        if used.outcome == Code::Valid {
            self.add_use(&mut shard, used);
        }
    }

    fn add_sum(&self, shard: &mut Shard, id: RowId, sum: &Sum) {
        let is_full = shard.sums.len() >= MAX_ROWS / SHARDS;
        if is_full && !shard.sums.contains_key(&id) {
            self.lost.fetch_add(sum.count, Ordering::Relaxed);
            return;
        }
        let row = shard.sums.entry(id).or_default();
        row.count += sum.count;
        row.cost = row.cost.saturating_add(sum.cost);
        for (total, more) in row.latency.iter_mut().zip(sum.latency) {
            *total += more;
        }
    }

    fn add_use(&self, shard: &mut Shard, used: &Use<'_>) {
        let user_agent = used.user_agent.map(|agent| cut(agent, MAX_USER_AGENT));
        if let Some(SecretUse { last, .. }) = shard.uses.get_mut(&used.secret) {
            last.at = last.at.max(used.at);
            last.address = used.address;
            // The text is copied only when it is another one.
            if last.user_agent.as_deref() != user_agent {
                last.user_agent = user_agent.map(str::to_owned);
            }
        } else if shard.uses.len() < MAX_ROWS / SHARDS {
            let user_agent = user_agent.map(str::to_owned);
            let last = LastUse { at: used.at, address: used.address, user_agent };
            shard.uses.insert(used.secret, SecretUse { key: used.key, last });
        }
    }

    /// Writes what there is. What the database does not take is put back.
    pub async fn settle(&self, store: &Store) {
        let _alone = self.settling.lock().await;
        let (mut rows, mut uses) = (Vec::new(), Vec::new());
        for shard in &self.shards {
            let shard = std::mem::take(&mut *lock(shard));
            rows.extend(shard.sums.into_iter().map(row));
            uses.extend(shard.uses);
        }
        for batch in rows.chunks(MAX_USAGE_BATCH) {
            if let Err(error) = store.add_key_usage(batch).await {
                tracing::warn!(%error, rows = batch.len(), "usage of keys waits");
                self.put_back(batch);
            }
        }
        self.settle_uses(store, uses).await;
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "more keys were used than usage has room for");
        }
    }

    /// In the order of ids: what is near in the database is written together.
    async fn settle_uses(&self, store: &Store, mut uses: Vec<(KeySecretId, SecretUse)>) {
        uses.sort_unstable_by_key(|(secret, _)| *secret);
        for batch in uses.chunks(MAX_TOUCHED) {
            let last = |(secret, used): &(KeySecretId, SecretUse)| (*secret, used.last.clone());
            let touched: Vec<(KeySecretId, LastUse)> = batch.iter().map(last).collect();
            if let Err(error) = store.touch_keys(&touched).await {
                tracing::warn!(%error, keys = batch.len(), "last uses of keys wait");
                self.put_uses_back(batch);
            }
        }
    }

    fn put_back(&self, rows: &[UsageRow]) {
        for row in rows {
            let sum = Sum { count: row.count, cost: row.cost, latency: row.latency };
            let mut shard = self.shard(&row.key_id);
            self.add_sum(&mut shard, (row.key_id, row.minute, row.outcome), &sum);
        }
    }

    /// Unless the secret was used again meanwhile.
    fn put_uses_back(&self, uses: &[(KeySecretId, SecretUse)]) {
        for (secret, used) in uses {
            let mut shard = self.shard(&used.key);
            let is_full = shard.uses.len() >= MAX_ROWS / SHARDS;
            match shard.uses.get_mut(secret) {
                Some(newer) if newer.last.at >= used.last.at => {}
                Some(older) => *older = used.clone(),
                None if is_full => {}
                None => _ = shard.uses.insert(*secret, used.clone()),
            }
        }
    }

    fn shard(&self, key: &KeyId) -> std::sync::MutexGuard<'_, Shard> {
        let hash = usize::try_from(self.spread.hash_one(key) % SHARDS as u64).unwrap_or(0);
        lock(&self.shards[hash])
    }
}

fn lock(shard: &Mutex<Shard>) -> std::sync::MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn row(((key_id, minute, outcome), sum): (RowId, Sum)) -> UsageRow {
    let Sum { count, cost, latency } = sum;
    UsageRow { key_id, minute, outcome, count, cost, latency }
}

fn bucket(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    LATENCY_BOUNDS_US.partition_point(|&bound| bound < us)
}

/// At most `max` bytes of a text, at a character's edge.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_the_first_bucket_that_holds_them() {
        let of = |us| bucket(Duration::from_micros(us));
        assert_eq!((of(0), of(2), of(3), of(5)), (0, 0, 1, 1));
        assert_eq!(of(1_000_000), LATENCY_BUCKETS - 2);
        assert_eq!(of(1_000_001), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn a_long_user_agent_is_cut_at_a_character() {
        assert_eq!(cut("héron", 2), "h");
        assert_eq!(cut("heron", 9), "heron");
    }
}
