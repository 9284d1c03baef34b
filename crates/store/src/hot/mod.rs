//! The hot verbs: ingest, claim, settle. What they share is the shape of a batch.
//!
//! Callers put work into a bounded queue and wait. A writer takes everything that queued while
//! its last commit ran and writes it in one transaction with one statement per table: natural
//! group commit, with no timer to tune. On SQLite one writer takes ingests, settlements and
//! claims into the same commit, on a connection and a thread of its own; on PostgreSQL each has connections of its own and they share the
//! log flush.
//!
//! `sqlite.rs` and `postgres.rs` hold the twin statements: same names, same order.

mod apart;
mod checkpoint;
pub(crate) mod claim;
pub(crate) mod ingest;
mod plan;
mod postgres;
pub(crate) mod settle;
mod sqlite;
mod writer;

use std::sync::{Mutex, PoisonError};

use sqlx::PgConnection;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::Store;
use crate::db::Either;

/// Requests that may wait to be written; the next one is told to come back later.
const INGEST_QUEUE: usize = 16_384;
/// Settlements that may wait. Deliverers wait beyond that.
const SETTLE_QUEUE: usize = 16_384;
/// Messages, deliveries and settlements in one commit. A commit may exceed the second by the
/// fan-out of its last message.
pub(crate) const MAX_BATCH: usize = 1_024;

/// One connection inside a transaction or, on PostgreSQL, committing by itself.
pub(crate) type Conn<'a> = Either<&'a mut rusqlite::Connection, &'a mut PgConnection>;

/// The callers' ends.
#[derive(Debug)]
pub(crate) struct Queues {
    pub ingest: mpsc::Sender<ingest::Job>,
    pub settle: mpsc::Sender<settle::Job>,
    /// To the writer of SQLite.
    pub claim: mpsc::Sender<claim::Job>,
    /// On PostgreSQL claims have a connection of their own.
    pub claim_connection: tokio::sync::Mutex<writer::HotConnection>,
    closing: watch::Sender<bool>,
    writers: Mutex<JoinSet<()>>,
}

/// The writers' ends.
pub(crate) struct Work {
    ingest: mpsc::Receiver<ingest::Job>,
    settle: mpsc::Receiver<settle::Job>,
    claim: mpsc::Receiver<claim::Job>,
    closing: watch::Receiver<bool>,
}

pub(crate) fn queues() -> (Queues, Work) {
    let (ingest_in, ingest_out) = mpsc::channel(INGEST_QUEUE);
    let (settle_in, settle_out) = mpsc::channel(SETTLE_QUEUE);
    let (claim_in, claim_out) = mpsc::channel(1);
    let (closing, on_close) = watch::channel(false);
    let queues = Queues {
        ingest: ingest_in,
        settle: settle_in,
        claim: claim_in,
        claim_connection: tokio::sync::Mutex::default(),
        closing,
        writers: Mutex::new(JoinSet::new()),
    };
    let work = Work { ingest: ingest_out, settle: settle_out, claim: claim_out, closing: on_close };
    (queues, work)
}

pub(crate) fn spawn(store: &Store, work: Work) {
    let mut writers = store.0.hot.writers.lock().unwrap_or_else(PoisonError::into_inner);
    match store.db() {
        Either::Sqlite(pools) => {
            let checkpoints = checkpoint::Checkpoints::default();
            let closing = work.closing.clone();
            writers.spawn(checkpoints.clone().run(pools.checkpoints.clone(), closing));
            // On a thread of its own: statements and flushes block it.
            let (runtime, store) = (Handle::current(), store.downgrade());
            writers.spawn_blocking(move || {
                runtime.block_on(writer::run_sqlite(store, work, checkpoints))
            });
        }
        Either::Postgres(_) => writer::spawn_postgres(store, work, &mut writers),
    }
}

impl Queues {
    /// Lets the writers finish what is queued and waits for them.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let mut writers = {
            let mut slot = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *slot)
        };
        while writers.join_next().await.is_some() {}
        *self.claim_connection.lock().await = writer::HotConnection::default();
    }
}
