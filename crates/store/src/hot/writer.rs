//! The writers: loops that take what has queued and commit it together.
//!
//! SQLite has one writer, which puts ingests and settlements into the same transaction and so
//! into the same flush. PostgreSQL has a connection for each; its statements commit by
//! themselves. A batch that fails tells its publishers so at once; settlements are kept and
//! tried again, for as long as their leases can live.

use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Sqlite, Transaction};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::checkpoint::Checkpoints;
use super::{Conn, MAX_BATCH, Work, apart, claim, ingest, settle, sqlite};
use crate::db::{BUSY_TIMEOUT, Either, SqlitePools};
use crate::{LEASE_MS, Result, Store, WeakStore};

const RETRY_PAUSE: Duration = Duration::from_millis(100);
const MAX_RETRIES: u64 = LEASE_MS / 100;

/// A connection of a hot loop, opened when it is first needed and again after a fault.
#[derive(Debug, Default)]
pub(crate) struct HotConnection(Option<PgConnection>);

/// PostgreSQL keeps one generic plan per prepared statement. Made while the tables are small, it
/// scans them; so the planner is left only the index plans. For these connections alone, which
/// need not plan again for other values either.
const INDEX_PLANS: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

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
    most: impl Fn() -> usize,
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
    batch.push(first);
    fill(queue, &mut batch, most(), size);
    batch
}

pub(super) async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Adds what is queued, until the batch is as large as it may be.
fn fill<T>(
    queue: &mut mpsc::Receiver<T>,
    batch: &mut Vec<T>,
    most: usize,
    size: impl Fn(&T) -> usize,
) {
    let mut total: usize = batch.iter().map(&size).sum();
    while total < most {
        let Ok(job) = queue.try_recv() else { return };
        total += size(&job);
        batch.push(job);
    }
}

/// What one transaction of SQLite carries.
#[derive(Default)]
struct Batch {
    ingests: Vec<ingest::Job>,
    settlements: Vec<settle::Job>,
    claim: Option<claim::Job>,
    /// Some of the settlements were refused before: they are written apart.
    apart: bool,
}

impl Batch {
    const fn is_empty(&self) -> bool {
        self.ingests.is_empty() && self.settlements.is_empty() && self.claim.is_none()
    }

    fn fill(&mut self, store: &Store, work: &mut Work) {
        fill(&mut work.settle, &mut self.settlements, MAX_BATCH, |_| 1);
        let most = store.0.slots.most_ingests();
        fill(&mut work.ingest, &mut self.ingests, most, ingest_size);
        if self.claim.is_none() {
            self.claim = work.claim.try_recv().ok();
        }
    }
}

fn ingest_size(job: &ingest::Job) -> usize {
    job.messages.len()
}

pub(super) async fn run_sqlite(store: WeakStore, mut work: Work, checkpoints: Checkpoints) {
    let mut pen = Pen::default();
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
        // Whoever waits for an answer has the store.
        let Some(store) = store.upgrade() else { return };
        let Either::Sqlite(pools) = store.db() else { return };
        batch.fill(&store, &mut work);
        if batch.is_empty() {
            if *work.closing.borrow() {
                return;
            }
            continue;
        }
        let Kept { settlements: kept, refused } =
            flush(&store, pools, &mut pen, std::mem::take(&mut batch)).await;
        if let Some(connection) = &pen.connection {
            checkpoints.committed(connection);
        }
        if kept.is_empty() {
            retries = 0;
        } else if retries >= MAX_RETRIES {
            retries = 0;
            settle::give_up(&store, &kept);
        } else {
            retries += 1;
            batch.settlements = kept;
            batch.apart = refused;
            // What is refused is not wanted any more a moment later.
            if !refused {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
        batch.fill(&store, &mut work);
        if batch.is_empty() || pools.somebody_waits() {
            pen.right = None;
        }
    }
}

/// What the writer writes with: the right to, and a connection of its own.
#[derive(Default)]
struct Pen {
    right: Option<PoolConnection<Sqlite>>,
    connection: Option<rusqlite::Connection>,
}

impl Pen {
    async fn take(&mut self, pools: &SqlitePools) -> Result<&mut rusqlite::Connection> {
        if self.right.is_none() {
            self.right = Some(pools.writer.acquire().await?);
        }
        let connection = match self.connection.take() {
            Some(kept) => kept,
            None => sqlite::open(&pools.file, BUSY_TIMEOUT)?,
        };
        Ok(self.connection.insert(connection))
    }
}

/// Settlements that are not written yet.
#[derive(Default)]
struct Kept {
    settlements: Vec<settle::Job>,
    /// The database does not want one of them.
    refused: bool,
}

/// One transaction for everything. Gives the settlements back when it failed.
async fn flush(store: &Store, pools: &SqlitePools, pen: &mut Pen, batch: Batch) -> Kept {
    let Batch { ingests, settlements, claim, apart } = batch;
    let claims = claim.is_some();
    let parts = Parts { ingests: &ingests, settlements: &settlements, claims, apart };
    let mut written = Written::default();
    match write(store, pools, pen, &parts, &mut written).await {
        Ok(()) => {
            if let Some(applied) = written.applied {
                ingest::finish(store, ingests, applied);
            }
            match written.apart {
                Some(ours) => apart::finish(store, settlements, &ours),
                None => settle::finish(store, settlements, &written.ours),
            }
            if let (Some(answer), Some(claimed)) = (claim, written.claimed) {
                let _ = answer.send(store.finish_claim(claimed, Ok(())));
            }
            Kept::default()
        }
        Err(error) => {
            let refused = error.is_refusal();
            let (ingested, settled) = (ingests.len(), settlements.len());
            tracing::error!(%error, ingests = ingested, settlements = settled, "batch not written");
            // Closed, it rolls back.
            *pen = Pen::default();
            ingest::fail(store, ingests, written.applied, "the database did not take the write");
            if let Some(answer) = claim {
                let claimed = written.claimed.unwrap_or_default();
                let _ = answer.send(store.finish_claim(claimed, Err(error)));
            }
            Kept { settlements, refused }
        }
    }
}

/// What is to be written.
struct Parts<'a> {
    ingests: &'a [ingest::Job],
    settlements: &'a [settle::Job],
    claims: bool,
    apart: bool,
}

/// What was written, as far as it got.
#[derive(Default)]
struct Written {
    applied: Option<ingest::Applied>,
    ours: Vec<bool>,
    /// In the place of `ours`, when they were written apart.
    apart: Option<Vec<Option<bool>>>,
    claimed: Option<claim::Claimed>,
}

async fn write(
    store: &Store,
    pools: &SqlitePools,
    pen: &mut Pen,
    parts: &Parts<'_>,
    written: &mut Written,
) -> Result<()> {
    let connection = pen.take(pools).await?;
    connection.execute_batch("begin immediate")?;
    let mut conn: Conn<'_> = Either::Sqlite(&mut *connection);
    if parts.apart {
        written.apart = Some(apart::apply(store, &mut conn, parts.settlements).await?);
    } else {
        written.ours = settle::apply(store, &mut conn, parts.settlements).await?;
    }
    if !parts.ingests.is_empty() {
        written.applied = Some(ingest::apply(store, &mut conn, parts.ingests).await?);
    }
    if parts.claims {
        written.claimed = Some(store.claim_through(&mut conn).await?);
    }
    Ok(connection.execute_batch("commit")?)
}

/// One connection for ingests, one for settlements: they commit side by side. More of them would
/// only share the same work out in smaller batches, and a batch costs more than a row.
pub(crate) fn spawn_postgres(store: &Store, work: Work, writers: &mut JoinSet<()>) {
    writers.spawn(ingest_postgres(store.downgrade(), work.ingest, work.closing.clone()));
    writers.spawn(settle_postgres(store.downgrade(), work.settle, work.closing));
}

async fn ingest_postgres(
    store: WeakStore,
    mut queue: mpsc::Receiver<ingest::Job>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connection = HotConnection::default();
    loop {
        let most = || store.upgrade().map_or(1, |store| store.0.slots.most_ingests());
        let jobs = next_batch(&mut queue, &mut closing, most, ingest_size).await;
        if jobs.is_empty() {
            return;
        }
        let Some(store) = store.upgrade() else { return };
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
    store: WeakStore,
    mut queue: mpsc::Receiver<settle::Job>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connection = HotConnection::default();
    loop {
        let jobs = next_batch(&mut queue, &mut closing, || MAX_BATCH, |_| 1).await;
        if jobs.is_empty() {
            return;
        }
        let Some(store) = store.upgrade() else { return };
        settle_batch(&store, &mut connection, jobs).await;
    }
}

/// Tries for as long as the leases can live.
async fn settle_batch(store: &Store, connection: &mut HotConnection, jobs: Vec<settle::Job>) {
    let mut is_refused = false;
    for _ in 0..MAX_RETRIES {
        let error = if is_refused {
            match settle_apart(store, connection, &jobs).await {
                Ok(ours) => return apart::finish(store, jobs, &ours),
                Err(error) => error,
            }
        } else {
            match settle_together(store, connection, &jobs).await {
                Ok(ours) => return settle::finish(store, jobs, &ours),
                Err(error) => error,
            }
        };
        tracing::error!(%error, settlements = jobs.len(), "batch not settled");
        connection.discard();
        is_refused = error.is_refusal();
        if !is_refused {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
    settle::give_up(store, &jobs);
}

async fn settle_together(
    store: &Store,
    connection: &mut HotConnection,
    jobs: &[settle::Job],
) -> Result<Vec<bool>> {
    let connection = connection.get(&store.0.url).await?;
    settle::apply(store, &mut Either::Postgres(connection), jobs).await
}

async fn settle_apart(
    store: &Store,
    connection: &mut HotConnection,
    jobs: &[settle::Job],
) -> Result<Vec<Option<bool>>> {
    let connection = connection.get(&store.0.url).await?;
    apart::apply(store, &mut Either::Postgres(connection), jobs).await
}
