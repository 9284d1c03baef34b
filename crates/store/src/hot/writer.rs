//! The writers: loops that take what has queued and commit it together.
//!
//! SQLite has one writer, which puts ingests and settlements into the same transaction and so
//! into the same flush. PostgreSQL has a few connections for each; its statements commit by
//! themselves. A batch that fails tells its publishers so at once; settlements are kept and
//! tried again, for as long as their leases can live.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Sqlite, Transaction};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

use super::checkpoint::Checkpoints;
use super::{Conn, MAX_BATCH, POSTGRES_WRITERS, Work, claim, ingest, settle};
use crate::db::{Either, SqlitePools};
use crate::{LEASE_MS, Result, Store, StoreError};

const RETRY_PAUSE: Duration = Duration::from_millis(100);
const MAX_RETRIES: u64 = LEASE_MS / 100;

/// A connection of a hot loop, opened when it is first needed and again after a fault.
#[derive(Debug, Default)]
pub(crate) struct HotConnection(Option<PgConnection>);

/// PostgreSQL keeps one generic plan per prepared statement. Made while the tables are small, it
/// scans them; so the planner is left only the index plans. For these connections alone.
const INDEX_PLANS: [(&str, &str); 3] =
    [("enable_seqscan", "off"), ("enable_hashjoin", "off"), ("enable_mergejoin", "off")];

impl HotConnection {
    pub async fn get(&mut self, url: &str) -> Result<&mut PgConnection> {
        let usable = self.0.take();
        let connection = match usable {
            Some(connection) => connection,
            None => {
                let options = PgConnectOptions::from_str(url)?
                    .application_name("doorbell hot")
                    .options(INDEX_PLANS)
                    .disable_statement_logging();
                options.connect().await?
            }
        };
        Ok(self.0.insert(connection))
    }

    pub async fn begin(&mut self, url: &str) -> Result<Transaction<'_, Postgres>> {
        if let Some(connection) = &mut self.0
            && connection.ping().await.is_err()
        {
            self.0 = None;
        }
        Ok(self.get(url).await?.begin().await?)
    }

    pub fn discard(&mut self) {
        self.0 = None;
    }
}

/// Waits for one job, then takes everything that is queued behind it, up to the batch size.
/// Empty when the queue is closed and drained.
async fn next_batch<T>(
    queue: &mut mpsc::Receiver<T>,
    closing: &mut watch::Receiver<bool>,
    size: impl Fn(&T) -> usize,
) -> Vec<T> {
    let mut batch = Vec::new();
    let first = tokio::select! {
        biased;
        job = queue.recv() => job,
        () = closed(closing) => {
            queue.close();
            queue.recv().await
        }
    };
    let Some(first) = first else { return batch };
    let mut total = size(&first);
    batch.push(first);
    fill(queue, &mut batch, &mut total, size);
    batch
}

pub(super) async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

fn fill<T>(
    queue: &mut mpsc::Receiver<T>,
    batch: &mut Vec<T>,
    total: &mut usize,
    size: impl Fn(&T) -> usize,
) {
    while *total < MAX_BATCH {
        let Ok(job) = queue.try_recv() else { return };
        *total += size(&job);
        batch.push(job);
    }
}

/// What one transaction of SQLite carries.
#[derive(Default)]
struct Batch {
    ingests: Vec<ingest::Job>,
    settlements: Vec<settle::Job>,
    claim: Option<claim::Job>,
}

impl Batch {
    const fn is_empty(&self) -> bool {
        self.ingests.is_empty() && self.settlements.is_empty() && self.claim.is_none()
    }

    fn fill(&mut self, work: &mut Work) {
        let mut total = self.ingests.iter().map(ingest_size).sum();
        fill(&mut work.ingest, &mut self.ingests, &mut total, ingest_size);
        let mut total = self.settlements.len();
        fill(&mut work.settle, &mut self.settlements, &mut total, |_| 1);
        if self.claim.is_none() {
            self.claim = work.claim.try_recv().ok();
        }
    }
}

fn ingest_size(job: &ingest::Job) -> usize {
    job.messages.len()
}

pub(super) async fn run_sqlite(store: Store, mut work: Work, checkpoints: Checkpoints) {
    let Either::Sqlite(pools) = store.db() else { return };
    let mut connection = None;
    let mut batch = Batch::default();
    let mut retries = 0;
    loop {
        if batch.is_empty() {
            tokio::select! {
                biased;
                Some(job) = work.settle.recv() => batch.settlements.push(job),
                Some(job) = work.ingest.recv() => batch.ingests.push(job),
                Some(job) = work.claim.recv() => batch.claim = Some(job),
                () = closed(&mut work.closing) => {
                    work.ingest.close();
                    work.settle.close();
                    work.claim.close();
                }
                else => return,
            }
        }
        batch.fill(&mut work);
        if batch.is_empty() {
            if *work.closing.borrow() {
                return;
            }
            continue;
        }
        let kept = flush(&store, pools, &mut connection, std::mem::take(&mut batch)).await;
        if let Some(connection) = &mut connection {
            checkpoints.committed(connection).await;
        }
        if kept.is_empty() {
            retries = 0;
        } else if retries >= MAX_RETRIES {
            retries = 0;
            settle::give_up(&store, &kept);
        } else {
            retries += 1;
            batch.settlements = kept;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        batch.fill(&mut work);
        if batch.is_empty() || pools.somebody_waits() {
            connection = None;
        }
    }
}

/// One transaction for everything. Gives the settlements back when it failed.
async fn flush(
    store: &Store,
    pools: &SqlitePools,
    connection: &mut Option<PoolConnection<Sqlite>>,
    batch: Batch,
) -> Vec<settle::Job> {
    let Batch { ingests, settlements, claim } = batch;
    let parts = Parts { ingests: &ingests, settlements: &settlements, claims: claim.is_some() };
    let mut written = Written::default();
    let mut committed = write(store, pools, connection, &parts, false, &mut written).await;
    if matches!(committed, Err(StoreError::LeaseLost)) {
        written.withdraw(store);
        committed = write(store, pools, connection, &parts, true, &mut written).await;
    }
    match committed {
        Ok(()) => {
            if let Some(applied) = written.applied {
                ingest::finish(store, ingests, applied);
            }
            settle::finish(store, settlements, &written.ours);
            if let (Some(answer), Some(claimed)) = (claim, written.claimed) {
                let _ = answer.send(store.finish_claim(claimed, Ok(())));
            }
            Vec::new()
        }
        Err(error) => {
            let (ingested, settled) = (ingests.len(), settlements.len());
            tracing::error!(%error, ingests = ingested, settlements = settled, "batch not written");
            *connection = None;
            ingest::fail(store, ingests, written.applied, "the database did not take the write");
            if let Some(answer) = claim {
                let claimed = written.claimed.unwrap_or_default();
                let _ = answer.send(store.finish_claim(claimed, Err(error)));
            }
            settlements
        }
    }
}

/// What is to be written.
struct Parts<'a> {
    ingests: &'a [ingest::Job],
    settlements: &'a [settle::Job],
    claims: bool,
}

/// What was written, as far as it got.
#[derive(Default)]
struct Written {
    applied: Option<ingest::Applied>,
    ours: Vec<bool>,
    claimed: Option<claim::Claimed>,
}

impl Written {
    /// It was rolled back: gives back the slots that were taken for it.
    fn withdraw(&mut self, store: &Store) {
        if let Some(applied) = self.applied.take() {
            applied.withdraw(store);
        }
    }
}

async fn write(
    store: &Store,
    pools: &SqlitePools,
    connection: &mut Option<PoolConnection<Sqlite>>,
    parts: &Parts<'_>,
    carefully: bool,
    written: &mut Written,
) -> Result<()> {
    let connection = match connection.take() {
        Some(kept) => connection.insert(kept),
        None => connection.insert(pools.writer.acquire().await?),
    };
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    {
        let mut conn: Conn<'_> = Either::Sqlite(&mut tx);
        written.ours = settle::apply(store, &mut conn, parts.settlements, carefully).await?;
        if !parts.ingests.is_empty() {
            written.applied = Some(ingest::apply(store, &mut conn, parts.ingests).await?);
        }
        if parts.claims {
            written.claimed = Some(store.claim_through(&mut conn).await?);
        }
    }
    Ok(tx.commit().await?)
}

pub(crate) fn spawn_postgres(store: &Store, work: Work, writers: &mut JoinSet<()>) {
    let ingests = Arc::new(Mutex::new(work.ingest));
    let settles = Arc::new(Mutex::new(work.settle));
    for _ in 0..POSTGRES_WRITERS {
        let (queue, closing) = (ingests.clone(), work.closing.clone());
        writers.spawn(ingest_postgres(store.clone(), queue, closing));
        let (queue, closing) = (settles.clone(), work.closing.clone());
        writers.spawn(settle_postgres(store.clone(), queue, closing));
    }
}

async fn ingest_postgres(
    store: Store,
    queue: Arc<Mutex<mpsc::Receiver<ingest::Job>>>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connection = HotConnection::default();
    loop {
        let jobs = next_batch(&mut *queue.lock().await, &mut closing, ingest_size).await;
        if jobs.is_empty() {
            return;
        }
        let applied = match connection.get(&store.0.url).await {
            Ok(c) => ingest::apply(&store, &mut Either::Postgres(c), &jobs).await,
            Err(error) => Err(error),
        };
        match applied {
            Ok(applied) => ingest::finish(&store, jobs, applied),
            Err(error) => {
                tracing::error!(%error, ingests = jobs.len(), "batch not written");
                connection.discard();
                ingest::fail(&store, jobs, None, "the database did not take the write");
            }
        }
    }
}

async fn settle_postgres(
    store: Store,
    queue: Arc<Mutex<mpsc::Receiver<settle::Job>>>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connection = HotConnection::default();
    loop {
        let jobs = next_batch(&mut *queue.lock().await, &mut closing, |_| 1).await;
        if jobs.is_empty() {
            return;
        }
        let mut pending = Some(jobs);
        for _ in 0..MAX_RETRIES {
            let Some(jobs) = pending.take() else { break };
            let ours = match connection.get(&store.0.url).await {
                Ok(c) => settle::apply(&store, &mut Either::Postgres(c), &jobs, true).await,
                Err(error) => Err(error),
            };
            match ours {
                Ok(ours) => settle::finish(&store, jobs, &ours),
                Err(error) => {
                    tracing::error!(%error, settlements = jobs.len(), "batch not settled");
                    connection.discard();
                    pending = Some(jobs);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        settle::give_up(&store, &pending.unwrap_or_default());
    }
}
