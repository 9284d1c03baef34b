//! Limits of use, in this process or shared through Redis.
//!
//! A request brings all the limits it falls under at once ([`Take`]); it is counted in all of
//! them or in none ([`Limiter::take`]). Without Redis everything is counted here (`local`). With
//! it, one script call counts all that needs asking (`redis`, `script.lua`): strict limits
//! always, leased ones only when this node's lease is used up (`lease`). What is counted here is
//! held first, and given back when Redis refuses the rest. When Redis does not answer within
//! [`DEFAULT_REDIS_TIMEOUT`], or has not for a while, each limit follows its own policy
//! (`degrade`), and its standing says `degraded`.
//!
//! What must always hold: a refused request consumes nothing; strict and leased limits never
//! admit more than the limit in any window, with any number of nodes, while Redis answers; what
//! was admitted without Redis is told to it on the first request after, and a Redis that lost its
//! counters is told what this node admitted. Redis is a single one, or one behind a proxy: a
//! request's subjects may differ, so that a cluster could not run its script in one slot.

mod background;
mod degrade;
mod lease;
mod local;
mod redis;
mod round;
mod subject;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::Clock;
use model::key::limit::Limit;
use tokio::sync::watch;

use self::background::Lapsing;
use self::degrade::Breaker;
use self::local::Subjects;
use self::redis::Redis;
use self::round::Round;

pub use local::{MAX_NAMES, MAX_SUBJECTS};
pub use subject::SubjectKey;

/// No request waits longer for Redis.
pub const DEFAULT_REDIS_TIMEOUT: Duration = Duration::from_millis(20);

/// How the limits of one process are counted.
#[derive(Clone)]
pub struct LimiterOptions {
    /// None: this process is alone.
    pub redis_url: Option<String>,
    /// PEM of the authority to trust where Redis speaks TLS; none: those of this machine.
    pub redis_ca: Option<Vec<u8>>,
    /// A manual clock is the clock of Redis too, and then nothing happens by itself: see
    /// [`Limiter::tick`].
    pub clock: Clock,
    /// How many nodes are alive: for leases, and for shares when Redis does not answer.
    pub nodes: Arc<AtomicU32>,
    pub redis_timeout: Duration,
    pub max_subjects: usize,
}

impl LimiterOptions {
    /// Alone, without Redis.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            redis_url: None,
            redis_ca: None,
            clock,
            nodes: Arc::new(AtomicU32::new(1)),
            redis_timeout: DEFAULT_REDIS_TIMEOUT,
            max_subjects: MAX_SUBJECTS,
        }
    }
}

/// One limit that a request falls under. A subject's names differ within one request.
#[derive(Clone, Copy, Debug)]
pub struct Take<'a> {
    pub limit: &'a Limit,
    pub subject: SubjectKey,
    pub cost: u64,
}

/// Whether a request is within all its limits, and where each of them stands after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub allowed: bool,
    /// In the order of the takes.
    pub limits: Vec<Standing>,
}

impl Outcome {
    /// Until all limits in the way let the same request pass; none when it was allowed.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        let exceeded = self.limits.iter().filter(|limit| limit.exceeded);
        exceeded.map(|limit| limit.reset_ms).max()
    }

    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.limits.iter().any(|limit| limit.degraded)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub name: Arc<str>,
    pub limit: u64,
    pub window_ms: u64,
    pub remaining: u64,
    /// When exceeded: until the refused cost fits. Otherwise: until more is free than now; 0 when
    /// nothing is used.
    pub reset_ms: u64,
    pub exceeded: bool,
    /// Redis was not asked: it does not answer.
    pub degraded: bool,
}

/// How the limiter of this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimiterHealth {
    pub redis: RedisState,
    /// Limits that were judged without the Redis they belong to.
    pub degraded: u64,
    pub redis_questions: u64,
    /// Questions that Redis did not answer.
    pub redis_failures: u64,
    pub subjects: usize,
    /// Subjects that were still counting when room was made for others.
    pub forgotten: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisState {
    Unused,
    Up,
    Down,
}

/// The address of Redis is none.
#[derive(Debug, thiserror::Error)]
#[error("not an address of Redis: {0}")]
pub struct BadRedisUrl(String);

/// Counts limits. Cheap to clone.
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    clock: Clock,
    nodes: Arc<AtomicU32>,
    subjects: Subjects,
    redis: Option<Redis>,
    breaker: Breaker,
    /// Leases to be looked at when they end.
    lapsing: Mutex<Vec<Lapsing>>,
    degraded: AtomicU64,
}

impl Limiter {
    /// Connects to Redis when it is first needed. With Redis, call it on a tokio runtime: what
    /// happens in the background ends when the last clone is dropped.
    ///
    /// # Errors
    /// When the address of Redis cannot be one.
    pub fn new(options: LimiterOptions) -> Result<Self, BadRedisUrl> {
        let LimiterOptions { redis_url, redis_ca, clock, nodes, redis_timeout, max_subjects } =
            options;
        let connect = |url: String| Redis::new(&url, redis_ca, clock.clone(), redis_timeout);
        let redis = redis_url.map(connect).transpose();
        let redis = redis.map_err(|error| BadRedisUrl(error.to_string()))?;
        let inner = Arc::new(Inner {
            subjects: Subjects::new(max_subjects),
            breaker: Breaker::new(),
            lapsing: Mutex::new(Vec::new()),
            degraded: AtomicU64::new(0),
            redis,
            clock,
            nodes,
        });
        if inner.redis.is_some() && !inner.clock.is_manual() {
            tokio::spawn(background::run(Arc::downgrade(&inner)));
        }
        Ok(Self(inner))
    }

    /// Counts a request in all of its limits, or in none of them. Without `consume` it only says
    /// what would happen.
    pub async fn take(&self, takes: &[Take<'_>], consume: bool) -> Outcome {
        let mut round = Round::new(&self.0, takes, consume);
        round.hold();
        if let Some(redis) = &self.0.redis
            && round.must_ask()
        {
            round.ask(redis).await;
        }
        round.finish()
    }

    #[must_use]
    pub fn health(&self) -> LimiterHealth {
        let inner = &self.0;
        LimiterHealth {
            redis: match inner.redis {
                None => RedisState::Unused,
                Some(_) if inner.breaker.is_up() => RedisState::Up,
                Some(_) => RedisState::Down,
            },
            degraded: inner.degraded.load(Ordering::Relaxed),
            redis_questions: inner.redis.as_ref().map_or(0, Redis::questions),
            redis_failures: inner.breaker.failures(),
            subjects: inner.subjects.count(),
            forgotten: inner.subjects.forgotten(),
        }
    }

    /// Whether Redis answers, and each change of it.
    #[must_use]
    pub fn watch_redis(&self) -> watch::Receiver<bool> {
        self.0.breaker.watch()
    }

    /// What happens in the background, once: ask a Redis that did not answer, give back what is
    /// left of ended leases, forget what is idle. Needed only with a manual clock.
    pub async fn tick(&self) {
        self.0.tick().await;
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Limiter").field(&self.health()).finish()
    }
}

impl Inner {
    /// Time that does not go back.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn nodes(&self) -> u32 {
        self.nodes.load(Ordering::Relaxed).max(1)
    }
}
