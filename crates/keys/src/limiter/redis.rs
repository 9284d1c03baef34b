//! The one question to Redis: a script that counts all limits of a request, or none.
//!
//! Redis keeps counters and nothing else; it may lose them. It carries a mark of its life (a key
//! set when it is first met). The script compares the mark with the one that the node knows and
//! does nothing when it is another: then the node brings what the new Redis does not know.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use model::Clock;
use model::key::limit::Quota;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script, TlsCertificates};

use super::subject::SubjectKey;

const LIFE_KEY: &str = "doorbell:limit:life";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const SERVER_CLOCK: &str = "
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
";
/// Where time stands still until a test moves it, it does so for Redis too.
const MANUAL_CLOCK: &str = "
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = tonumber(ARGV[3])
";
const SCRIPT: &str = include_str!("script.lua");
/// Numbers of the answer for each limit.
const NUMBERS_PER_LIMIT: usize = 4;

pub(super) struct Redis {
    manager: ConnectionManager,
    script: Script,
    clock: Clock,
    timeout: Duration,
    life: AtomicI64,
    questions: AtomicU64,
}

/// One limit of the question.
pub(super) struct Ask {
    pub key: String,
    pub quota: Quota,
    pub cost: u64,
    /// Beyond the cost, for a lease.
    pub want: u64,
    pub lasts_ms: u64,
    pub corrections: Vec<Correction>,
}

/// What Redis counts wrongly.
#[derive(Clone, Copy)]
pub(super) enum Correction {
    Missing { age_ms: u64, count: u64 },
    Unused { counted_at: i64, count: u64 },
}

pub(super) enum Reply {
    Counted(Counted),
    /// It is not the Redis that we knew: nothing was done.
    AnotherLife,
}

pub(super) struct Counted {
    pub life: i64,
    pub now_ms: i64,
    pub allowed: bool,
    pub limits: Vec<Answer>,
}

#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub used: u64,
    pub reset_ms: u64,
    pub extra: u64,
    pub refused: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("an answer that is none of the script's")]
    Strange,
}

/// The name of a counter: name and subject, no figures. All limits of a subject share a hash tag.
pub(super) fn counter_key(subject: &SubjectKey, name: &str) -> String {
    format!("doorbell:limit:{{{subject}}}:{name}")
}

impl Redis {
    /// Connects when it is first asked.
    pub fn new(
        url: &str,
        ca: Option<Vec<u8>>,
        clock: Clock,
        timeout: Duration,
    ) -> Result<Self, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(timeout));
        let manager = ConnectionManager::new_lazy_with_config(client(url, ca)?, config)?;
        let time = if clock.is_manual() { MANUAL_CLOCK } else { SERVER_CLOCK };
        let script = Script::new(&format!("{time}{SCRIPT}"));
        Ok(Self {
            manager,
            script,
            clock,
            timeout,
            life: AtomicI64::new(0),
            questions: AtomicU64::new(0),
        })
    }

    /// The life of Redis that this node knows; 0: none yet.
    pub fn life(&self) -> i64 {
        self.life.load(Ordering::Acquire)
    }

    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    /// Asks about all of `asks` at once, and counts them if `consume`.
    pub async fn ask(&self, asks: &[Ask], nodes: u32, consume: bool) -> Result<Reply, Failed> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let known = self.life();
        let mut question = self.script.prepare_invoke();
        let now_ms = if self.clock.is_manual() { self.clock.now().0 } else { 0 };
        question.key(LIFE_KEY).arg(known).arg(i64::from(consume)).arg(now_ms);
        for ask in asks {
            ask.write(&mut question, nodes);
        }
        let mut connection = self.manager.clone();
        let numbers: Vec<i64> =
            tokio::time::timeout(self.timeout, question.invoke_async(&mut connection))
                .await
                .map_err(|_| Failed::Late(self.timeout))??;
        self.read(&numbers, known, asks.len())
    }

    fn read(&self, numbers: &[i64], known: i64, asked: usize) -> Result<Reply, Failed> {
        match *numbers {
            [life] => {
                // Another request may have met a newer life meanwhile.
                let _ =
                    self.life.compare_exchange(known, life, Ordering::AcqRel, Ordering::Acquire);
                Ok(Reply::AnotherLife)
            }
            [life, now_ms, allowed, ref rest @ ..] if rest.len() == asked * NUMBERS_PER_LIMIT => {
                let limits = rest.chunks_exact(NUMBERS_PER_LIMIT).map(Answer::read).collect();
                Ok(Reply::Counted(Counted { life, now_ms, allowed: allowed == 1, limits }))
            }
            _ => Err(Failed::Strange),
        }
    }
}

fn client(url: &str, ca: Option<Vec<u8>>) -> Result<Client, RedisError> {
    match ca {
        // Where there is no TLS there is nothing to trust.
        Some(ca) if url.starts_with("rediss:") => {
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca) };
            Client::build_with_tls(url, certificates)
        }
        _ => Client::open(url),
    }
}

impl Ask {
    fn write(&self, question: &mut redis::ScriptInvocation<'_>, nodes: u32) {
        question.key(&self.key);
        for number in [self.quota.limit, self.quota.window_ms, self.cost, self.want, self.lasts_ms]
        {
            question.arg(number);
        }
        question.arg(nodes.max(1)).arg(self.corrections.len());
        for correction in &self.corrections {
            let (moment, count) = match *correction {
                Correction::Missing { age_ms, count } => (signed(age_ms), signed(count)),
                Correction::Unused { counted_at, count } => (counted_at, -signed(count)),
            };
            question.arg(moment).arg(count);
        }
    }
}

impl Answer {
    fn read(numbers: &[i64]) -> Self {
        let number = |n: usize| numbers.get(n).map_or(0, |n| u64::try_from(*n).unwrap_or(0));
        Self { used: number(0), reset_ms: number(1), extra: number(2), refused: number(3) == 1 }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
