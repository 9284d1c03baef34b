//! The publishers: a closed loop (each waits for its answer before it publishes again) and an
//! open loop (messages leave at a fixed rate, whatever the answers do).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Outcome;
use crate::client::{Answer, Connection, Peer};
use crate::job::{Job, Kind};
use crate::measure::{Histogram, unix_nanos};

/// No load takes longer than this; a server that stands still ends the run.
const LOAD_DEADLINE: Duration = Duration::from_secs(600);
/// Connections of an open loop. The one used last is used next.
const OPEN_LOOP_CONNECTIONS: usize = 64;
/// A message that leaves later than this counts from the moment it was due: the answers before
/// it held it up. Below, it is the driver's own timer that was late, which is nobody's latency.
const LATE: Duration = Duration::from_millis(3);

/// What became of a load, or of a part of it.
pub struct Published {
    pub acknowledged: Vec<String>,
    pub refused: u64,
    pub first_refusal: Option<String>,
    pub posts: u64,
    pub started_ns: u64,
    pub elapsed: Duration,
    /// From the send to the answer
    pub answer: Histogram,
}

impl Published {
    fn new() -> Self {
        Self {
            acknowledged: Vec::new(),
            refused: 0,
            first_refusal: None,
            posts: 0,
            started_ns: unix_nanos(),
            elapsed: Duration::ZERO,
            answer: Histogram::new(),
        }
    }

    pub fn posts_per_s(&self) -> f64 {
        self.posts as f64 / self.elapsed.as_secs_f64()
    }

    pub fn absorb(&mut self, part: Published) {
        self.acknowledged.extend(part.acknowledged);
        self.refused += part.refused;
        self.first_refusal = self.first_refusal.take().or(part.first_refusal);
        self.posts += part.posts;
        self.answer.merge(&part.answer);
    }

    /// A load with refusals measures something else than it says.
    pub fn all_accepted(self) -> Outcome<Self> {
        match &self.first_refusal {
            Some(refusal) => {
                Err(format!("{} refused, the first with {refusal}", self.refused).into())
            }
            None => Ok(self),
        }
    }
}

/// Publishes `total` messages over `connections`, each with one request at a time.
pub async fn closed_loop(job: &Job, connections: usize, total: u64) -> Outcome<Published> {
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(Connection::open(&job.peer).await?);
    }
    let left = Arc::new(AtomicU64::new(total));
    let started = Instant::now();
    let mut result = Published::new();
    let mut publishers = JoinSet::new();
    for connection in opened {
        publishers.spawn(publish_until_none_left(connection, job.clone(), Arc::clone(&left)));
    }
    let all = async {
        while let Some(part) = publishers.join_next().await {
            result.absorb(part??);
        }
        Outcome::Ok(())
    };
    timeout(LOAD_DEADLINE, all).await.map_err(|_| "the load did not end in time")??;
    result.elapsed = started.elapsed();
    Ok(result)
}

async fn publish_until_none_left(
    mut connection: Connection,
    job: Job,
    left: Arc<AtomicU64>,
) -> Outcome<Published> {
    let mut part = Published::new();
    let at_once = job.kind.messages();
    loop {
        let before = left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(at_once))
            })
            .unwrap_or(0);
        let messages = before.min(at_once);
        if messages == 0 {
            return Ok(part);
        }
        let sent_ns = unix_nanos();
        let answer = connection.send(job.question(before, sent_ns, messages)).await?;
        part.note(job.kind, sent_ns, &answer)?;
    }
}

#[derive(Clone, Copy)]
pub struct Pace {
    pub per_second: u32,
    pub total: u64,
}

impl Pace {
    pub fn lasting(per_second: u32, seconds: u64) -> Self {
        Self { per_second, total: u64::from(per_second) * seconds }
    }
}

/// Publishes at a fixed rate over a pool of connections.
pub async fn open_loop(job: &Job, pace: Pace) -> Outcome<Published> {
    let pool = Arc::new(Pool::open(&job.peer).await?);
    let result = Arc::new(Mutex::new(Published::new()));
    let period = Duration::from_secs(1) / pace.per_second;
    let mut due = Instant::now();
    let started = due;
    let mut in_flight = JoinSet::new();
    let all = async {
        for turn in 0..pace.total {
            sleep_until(due).await;
            let permit = Arc::clone(&pool.free).acquire_owned().await?;
            let late = due.elapsed();
            let now_ns = unix_nanos();
            let late_ns = u64::try_from(late.as_nanos())?;
            let sent_ns = if late > LATE { now_ns - late_ns } else { now_ns };
            due += period;
            let (pool, job, result) = (Arc::clone(&pool), job.clone(), Arc::clone(&result));
            in_flight.spawn(async move {
                let mut connection = pool.take()?;
                if connection.is_closed() {
                    connection = Connection::open(&job.peer).await?;
                }
                let answer = connection.send(job.question(turn, sent_ns, 1)).await?;
                pool.give_back(connection);
                drop(permit);
                lock(&result).note(job.kind, sent_ns, &answer)
            });
            while let Some(done) = in_flight.try_join_next() {
                done??;
            }
        }
        while let Some(done) = in_flight.join_next().await {
            done??;
        }
        Outcome::Ok(())
    };
    timeout(LOAD_DEADLINE, all).await.map_err(|_| "the load did not end in time")??;
    let mut result = std::mem::replace(&mut *lock(&result), Published::new());
    result.elapsed = started.elapsed();
    Ok(result)
}

struct Pool {
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
}

impl Pool {
    async fn open(peer: &Peer) -> Outcome<Self> {
        let mut idle = Vec::with_capacity(OPEN_LOOP_CONNECTIONS);
        for _ in 0..OPEN_LOOP_CONNECTIONS {
            idle.push(Connection::open(peer).await?);
        }
        Ok(Self { idle: Mutex::new(idle), free: Arc::new(Semaphore::new(OPEN_LOOP_CONNECTIONS)) })
    }

    fn take(&self) -> Outcome<Connection> {
        lock(&self.idle).pop().ok_or_else(|| "the pool is empty".into())
    }

    fn give_back(&self, connection: Connection) {
        lock(&self.idle).push(connection);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Published {
    fn note(&mut self, kind: Kind, sent_ns: u64, answer: &Answer) -> Outcome<()> {
        self.posts += 1;
        self.answer.record(unix_nanos().saturating_sub(sent_ns));
        if !answer.status.is_success() {
            let text = String::from_utf8_lossy(&answer.body);
            self.refuse(1, format!("{}: {text}", answer.status));
            return Ok(());
        }
        let answers = kind.read(&answer.body)?;
        self.acknowledged.extend(answers.acknowledged);
        if let Some(reason) = answers.first_refusal {
            self.refuse(answers.refused, reason);
        }
        Ok(())
    }

    fn refuse(&mut self, count: u64, reason: String) {
        self.refused += count;
        self.first_refusal.get_or_insert(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_spoils_a_load() {
        let mut published = Published::new();
        assert!(Published::new().all_accepted().is_ok());
        published.refuse(1, "422 in a batch".to_owned());
        assert!(published.all_accepted().is_err());
    }
}
