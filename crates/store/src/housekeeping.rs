//! Housekeeping: when each chore is due, what was done, and how large everything is.
//!
//! Several processes may look at the same time: who moves a chore's due time on does it.

use std::time::Duration;

use model::Timestamp;
use model::audit::{Actor, Change};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::db::{Either, on};
use crate::{Result, Store, audit, rows};

/// Runs that are shown, and for how long they are kept.
const MAX_RUNS: i64 = 200;
const RUNS_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Due because somebody asked: quiet hours do not matter.
const ASKED: i64 = -1;
/// Pages that SQLite gives back in one step.
const VACUUM_PAGES: i64 = 100;
const VACUUM_PAUSE: Duration = Duration::from_millis(5);

const TAKE: &str = "insert into housekeeping (chore, next_at) values ($1, $2) \
    on conflict (chore) do update set next_at = excluded.next_at \
    where housekeeping.next_at <= $3";
const NEXT: &str = "select next_at from housekeeping where chore = $1";
const ASK: &str = "insert into housekeeping (chore, next_at) values ($1, $2) \
    on conflict (chore) do update set next_at = excluded.next_at";
const RECORD: &str = "insert into housekeeping_run (chore, started_at, duration_ms, report) \
    values ($1, $2, $3, $4) on conflict (chore, started_at) do update set \
    duration_ms = excluded.duration_ms, report = excluded.report";
const FORGET: &str = "delete from housekeeping_run where started_at < $1";
const RUNS: &str = "select chore, started_at, duration_ms, report from housekeeping_run \
    order by started_at desc, chore limit $1";

/// What is done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Partitions are made ahead.
    Partitions,
    Payloads,
    Attempts,
    Messages,
    Audit,
    /// Statistics, indexes, and space that is given back.
    Upkeep,
}

impl Chore {
    pub const ALL: [Self; 6] = [
        Self::Partitions,
        Self::Payloads,
        Self::Attempts,
        Self::Messages,
        Self::Audit,
        Self::Upkeep,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partitions => "partitions",
            Self::Payloads => "payloads",
            Self::Attempts => "attempts",
            Self::Messages => "messages",
            Self::Audit => "audit",
            Self::Upkeep => "upkeep",
        }
    }
}

/// Whether and when a chore is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChoreState {
    pub chore: Chore,
    /// None: at once.
    pub next_at: Option<Timestamp>,
    /// Somebody asked for it.
    pub asked: bool,
}

/// What came of a chore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Deleted, erased; of dropped partitions an estimate.
    pub rows: u64,
    /// Made or dropped.
    pub partitions: Vec<String>,
    /// Written before anything was deleted.
    pub archives: Vec<String>,
    pub before: Option<Sizes>,
    pub after: Option<Sizes>,
    pub notes: Vec<String>,
    pub error: Option<String>,
}

/// How large the database is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sizes {
    pub database_bytes: u64,
    /// SQLite: in the file, but not in use.
    pub free_bytes: u64,
    /// PostgreSQL: with indexes; attempts with all partitions.
    pub tables: Vec<TableSize>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct TableSize {
    pub name: String,
    pub bytes: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ChoreRun {
    pub chore: String,
    pub started_at: Timestamp,
    pub duration_ms: u64,
    pub report: Report,
}

const TABLE_SIZES: &str = "select case when c.relname like 'attempt%' then 'attempt' \
    else c.relname::text end as name, sum(pg_total_relation_size(c.oid))::bigint as bytes \
    from pg_class c where c.relkind = 'r' \
    and c.relnamespace = (select relnamespace from pg_class where oid = 'message'::regclass) \
    group by 1 order by 2 desc limit 8";
const DATABASE_SIZE: &str = "select pg_database_size(current_database())";
const PAGES: &str = "select page_count, freelist_count, page_size, auto_vacuum from \
    pragma_page_count(), pragma_freelist_count(), pragma_page_size(), pragma_auto_vacuum()";
const CHECKPOINT: &str = "pragma wal_checkpoint(passive)";
const INCREMENTAL: i64 = 2;
const REINDEX: [&str; 3] = [
    "reindex table concurrently lane",
    "reindex table concurrently delivery",
    "reindex table concurrently message",
];

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn chore(&self, chore: Chore) -> Result<ChoreState> {
        let next: Option<i64> = on!(self.db().reader(), c => {
            sqlx::query_scalar(NEXT).bind(chore.as_str()).fetch_optional(c).await
        })?;
        let asked = next == Some(ASKED);
        Ok(ChoreState { chore, next_at: next.filter(|_| !asked).map(Timestamp), asked })
    }

    /// Moves a due chore on to `next`. False when it is not due, or another process was first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_chore(&self, chore: Chore, next: Timestamp) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let taken = on!(&mut tx, c => sqlx::query(TAKE)
            .bind(chore.as_str()).bind(next.0).bind(self.now().0)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(taken > 0)
    }

    /// All chores are due, quiet hours or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask_for_housekeeping(&self, by: &Actor) -> Result<()> {
        let mut tx = self.db().begin().await?;
        for chore in Chore::ALL {
            on!(&mut tx, c => sqlx::query(ASK)
                .bind(chore.as_str()).bind(ASKED).execute(&mut **c).await.map(drop))?;
        }
        let change = Change {
            action: "housekeeping.run",
            target: "housekeeping".to_owned(),
            app_id: None,
            before: None,
            after: None,
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.wake().ring_chores();
        Ok(())
    }

    /// Writes down what was done, and forgets old runs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_chore(
        &self,
        chore: Chore,
        started_at: Timestamp,
        report: &Report,
    ) -> Result<()> {
        let now = self.now();
        let duration_ms = i64::try_from(now.since_ms(started_at)).unwrap_or(i64::MAX);
        let report = rows::to_json(report)?;
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(RECORD)
            .bind(chore.as_str()).bind(started_at.0).bind(duration_ms).bind(report)
            .execute(&mut **c).await.map(drop))?;
        on!(&mut tx, c => sqlx::query(FORGET)
            .bind(now.minus_ms(RUNS_KEPT_MS).0).execute(&mut **c).await.map(drop))?;
        tx.commit().await
    }

    /// What was done lately, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn chore_runs(&self) -> Result<Vec<ChoreRun>> {
        let found: Vec<(String, i64, i64, String)> = on!(self.db().reader(), c => {
            sqlx::query_as(RUNS).bind(MAX_RUNS).fetch_all(c).await
        })?;
        let run = |(chore, started_at, duration_ms, report): (String, i64, i64, String)| {
            Ok(ChoreRun {
                chore,
                started_at: Timestamp(started_at),
                duration_ms: u64::try_from(duration_ms).unwrap_or(0),
                report: rows::json(&report)?,
            })
        };
        found.into_iter().map(run).collect()
    }

    /// # Errors
    /// When the database fails.
    pub async fn sizes(&self) -> Result<Sizes> {
        let positive = |n: i64| u64::try_from(n).unwrap_or(0);
        match self.db().reader() {
            Either::Sqlite(c) => {
                let (pages, free, page_size, _) = pages(c).await?;
                Ok(Sizes {
                    database_bytes: positive(pages * page_size),
                    free_bytes: positive(free * page_size),
                    tables: Vec::new(),
                })
            }
            Either::Postgres(c) => Ok(Sizes {
                database_bytes: positive(sqlx::query_scalar(DATABASE_SIZE).fetch_one(c).await?),
                free_bytes: 0,
                tables: sqlx::query_as(TABLE_SIZES).fetch_all(c).await?,
            }),
        }
    }

    /// Copies SQLite's log into its file, beside whoever writes: deletions make it long.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkpoint(&self) -> Result<()> {
        if let Either::Sqlite(pools) = self.db() {
            sqlx::query(CHECKPOINT).execute(&pools.checkpoints).await?;
        }
        Ok(())
    }

    /// Statistics, indexes when asked, and on SQLite free space given back in short steps.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_up(&self, reindex: bool, report: &mut Report) -> Result<()> {
        let Either::Postgres(pool) = self.db() else { return self.shrink(report).await };
        // Autovacuum looks after partitions, but not after the whole that they are.
        sqlx::query("analyze attempt").execute(pool).await?;
        if reindex {
            for sql in REINDEX {
                sqlx::query(sql).execute(pool).await?;
            }
            report.notes.push("indexes were built anew".to_owned());
        }
        Ok(())
    }

    async fn shrink(&self, report: &mut Report) -> Result<()> {
        let Either::Sqlite(pools) = self.db() else { return Ok(()) };
        let mut tx = pools.writer.acquire().await?;
        sqlx::query("pragma analysis_limit = 400").execute(&mut *tx).await?;
        sqlx::query("pragma optimize").execute(&mut *tx).await?;
        drop(tx);
        let (_, mut free, _, auto_vacuum) = pages(&pools.readers).await?;
        if auto_vacuum != INCREMENTAL {
            report.notes.push(
                "the file was made by an older version and does not shrink: stop Doorbell and run \
                 `pragma auto_vacuum = incremental; vacuum;` on it once"
                    .to_owned(),
            );
            return Ok(());
        }
        while free > 0 {
            let mut tx = self.db().begin().await?;
            let sql = format!("pragma incremental_vacuum({VACUUM_PAGES})");
            if let Either::Sqlite(c) = &mut tx {
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut **c).await?;
            }
            tx.commit().await?;
            tokio::time::sleep(VACUUM_PAUSE).await;
            let left = pages(&pools.readers).await?.1;
            if left >= free {
                break;
            }
            free = left;
        }
        self.checkpoint().await
    }
}

/// Pages, free ones, their size, and whether the file can shrink.
async fn pages(pool: &sqlx::SqlitePool) -> Result<(i64, i64, i64, i64)> {
    Ok(sqlx::query_as(PAGES).fetch_one(pool).await?)
}
