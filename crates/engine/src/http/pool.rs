//! Connections at rest.
//!
//! Requests to different origins lock different shards, and a lock is held for a push or a pop.
//! The connection used last is used first, so that a burst's surplus grows old and is closed. An
//! HTTP/2 connection stays in the pool while it is used; an HTTP/1.1 connection leaves it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Target;
use super::target::Origin;
use super::wire::{Http1, Http2, Wire};

const SHARDS: usize = 64;
/// Idle HTTP/1.1 connections kept per origin.
pub const IDLE_PER_ORIGIN_MAX: usize = 1_024;
/// Connections kept for all origins together.
pub const IDLE_TOTAL_MAX: usize = 2_048;
pub const IDLE_AGE_MAX: Duration = Duration::from_secs(90);
/// HTTP/2 connections kept per origin; the second is opened when the first is full.
const HTTP2_PER_ORIGIN_MAX: usize = 8;

type Shard = HashMap<Arc<Origin>, Resting>;

#[derive(Default)]
struct Resting {
    idle: Vec<Idle>,
    shared: Vec<Shared>,
}

struct Idle {
    connection: Box<Http1>,
    until: Duration,
}

struct Shared {
    connection: Arc<Http2>,
    last_used: Duration,
}

pub(super) struct Pool {
    shards: Vec<Mutex<Shard>>,
    total: AtomicUsize,
}

impl Pool {
    pub fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, total: AtomicUsize::new(0) }
    }

    pub fn take(&self, target: &Target, now: Duration) -> Option<Wire> {
        let mut shard = self.shard(target);
        let resting = shard.get_mut(&target.origin)?;
        if let Some(wire) = resting.take_shared(now) {
            return Some(wire);
        }
        let before = resting.idle.len();
        let fresh = std::iter::from_fn(|| resting.idle.pop()).find(|idle| now < idle.until);
        self.total.fetch_sub(before - resting.idle.len(), Ordering::Relaxed);
        if resting.is_empty() {
            shard.remove(&target.origin);
        }
        fresh.map(|idle| Wire::Http1(idle.connection))
    }

    /// Puts a connection to rest, or closes it when it cannot be used again.
    pub fn put(&self, target: &Target, wire: Wire, now: Duration, rest_max: Duration) {
        let Wire::Http1(connection) = wire else { return };
        if !connection.is_reusable(now) || self.is_full() {
            return;
        }
        let mut shard = self.shard(target);
        let resting = shard.entry(target.origin.clone()).or_default();
        if resting.idle.len() < IDLE_PER_ORIGIN_MAX {
            resting.idle.push(Idle { connection, until: now + rest_max });
            self.total.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shows a new HTTP/2 connection to others. When another request was quicker to open one,
    /// that one is used and the new one closed.
    pub fn share(&self, target: &Target, wire: Wire, now: Duration) -> Wire {
        let Wire::Http2 { shared, .. } = &wire else { return wire };
        let mut shard = self.shard(target);
        if let Some(earlier) =
            shard.get_mut(&target.origin).and_then(|resting| resting.take_shared(now))
        {
            return earlier;
        }
        if self.is_full() {
            return wire;
        }
        let resting = shard.entry(target.origin.clone()).or_default();
        if resting.shared.len() < HTTP2_PER_ORIGIN_MAX {
            resting.shared.push(Shared { connection: shared.clone(), last_used: now });
            self.total.fetch_add(1, Ordering::Relaxed);
        }
        wire
    }

    /// Closes what the receiver has closed and what has rested too long.
    pub fn close_idle(&self, now: Duration) {
        for shard in &self.shards {
            let mut closed = 0;
            lock(shard).retain(|_, resting| {
                let before = resting.len();
                resting.idle.retain_mut(|idle| now < idle.until && idle.connection.is_open());
                resting.shared.retain(|shared| {
                    now < shared.last_used + IDLE_AGE_MAX && shared.connection.is_open()
                });
                closed += before - resting.len();
                !resting.is_empty()
            });
            self.total.fetch_sub(closed, Ordering::Relaxed);
        }
    }

    pub fn len(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.len() >= IDLE_TOTAL_MAX
    }

    fn shard(&self, target: &Target) -> MutexGuard<'_, Shard> {
        lock(&self.shards[target.shard_hash as usize % SHARDS])
    }
}

impl Resting {
    fn take_shared(&mut self, now: Duration) -> Option<Wire> {
        self.shared.iter_mut().find_map(|shared| {
            let wire = Wire::of_shared(&shared.connection)?;
            shared.last_used = now;
            Some(wire)
        })
    }

    fn len(&self) -> usize {
        self.idle.len() + self.shared.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
