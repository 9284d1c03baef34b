//! The seam: one text of SQL for two databases.
//!
//! [`Either`] holds the same thing for both drivers, and [`on!`] expands one expression once per
//! driver: static dispatch, one statement, one list of bound values. Only `hot/` writes
//! statements twice.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Postgres, Sqlite, Transaction};

use crate::StoreError;

/// Seconds that a caller waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A process that hangs inside a transaction for so many milliseconds loses it, on PostgreSQL: its
/// locks, of a background task for instance, are free for others then.
const HUNG_MS: &str = "60000";
/// How long a SQLite writer waits for another process, such as `doorbell token create`.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) enum Either<S, P> {
    Sqlite(S),
    Postgres(P),
}

pub(crate) type Db = Either<SqlitePools, PgPool>;
/// A pool to read from.
pub(crate) type Reader<'a> = Either<&'a SqlitePool, &'a PgPool>;
pub(crate) type Tx = Either<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>;

/// SQLite has one writer and many readers. Whoever has the one connection of `writer` may write:
/// the hot writer, which writes through a connection of its own thread, keeps it from one batch
/// to the next unless somebody waits for it.
#[derive(Debug)]
pub(crate) struct SqlitePools {
    pub file: PathBuf,
    pub writer: SqlitePool,
    pub readers: SqlitePool,
    pub checkpoints: SqlitePool,
    waiting: AtomicUsize,
}

impl SqlitePools {
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(begun?)
    }

    pub fn somebody_waits(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }
}

/// Expands `$query` once for each database, with `$c` bound to that database's executor.
macro_rules! on {
    ($db:expr, $c:ident => $query:expr) => {
        match $db {
            $crate::db::Either::Sqlite($c) => $query,
            $crate::db::Either::Postgres($c) => $query,
        }
    };
}
pub(crate) use on;

impl Db {
    /// # Errors
    /// When the URL is not understood or the database cannot be opened.
    pub async fn open(url: &str, read_connections: u32) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            return open_sqlite(url, read_connections).await;
        }
        let options = PgConnectOptions::from_str(url)?
            .application_name("doorbell")
            .options([("idle_in_transaction_session_timeout", HUNG_MS)])
            .disable_statement_logging();
        let pool = PoolOptions::new()
            .max_connections(read_connections.max(2))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool))
    }

    pub fn reader(&self) -> Reader<'_> {
        match self {
            Self::Sqlite(pools) => Either::Sqlite(&pools.readers),
            Self::Postgres(pool) => Either::Postgres(pool),
        }
    }

    /// A transaction that may write. Commit it with [`Tx::commit`]; dropped, it rolls back.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite(pools) => Either::Sqlite(pools.begin().await?),
            Self::Postgres(pool) => Either::Postgres(pool.begin().await?),
        })
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite(pools) => {
                pools.checkpoints.close().await;
                pools.readers.close().await;
                pools.writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    pub async fn commit(self) -> Result<(), StoreError> {
        on!(self, tx => tx.commit().await)?;
        Ok(())
    }
}

async fn open_sqlite(url: &str, read_connections: u32) -> Result<Db, StoreError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    let file = options.get_filename().to_owned();
    let pool = |connections: u32| {
        PoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .max_lifetime(None)
            .idle_timeout(None)
    };
    // Checkpoints have a task of their own.
    let mut writing = options.clone().pragma("wal_autocheckpoint", "0");
    if std::fs::metadata(&file).map_or(true, |found| found.len() == 0) {
        // Only a new file can be made so that housekeeping can give its free space back.
        writing = writing.auto_vacuum(SqliteAutoVacuum::Incremental);
    }
    let writer = pool(1).connect_with(writing).await?;
    let checkpoints = pool(1).connect_lazy_with(options.clone());
    let read_only = options.read_only(true).create_if_missing(false);
    let readers = pool(read_connections.max(1)).connect_lazy_with(read_only);
    Ok(Db::Sqlite(SqlitePools { file, writer, readers, checkpoints, waiting: AtomicUsize::new(0) }))
}
