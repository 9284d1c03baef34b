//! The partitions of attempts on PostgreSQL: made ahead, one for each day of messages, and taken
//! out as a whole.
//!
//! Whatever waits for a lock here gives up soon and comes again, so that nobody queues behind it.
//! A partition is detached before it is archived and dropped: nothing is written into it any
//! more. One that was detached when its process died is found by its name. SQLite has none.

use std::time::Duration;

use model::retention::Day;
use model::{MessageId, Timestamp};
use sqlx::{AssertSqlSafe, FromRow, PgPool, Postgres, Transaction};

use crate::db::Either;
use crate::{Result, Store, StoreError};

/// Days for which there are partitions ahead of time.
const DAYS_AHEAD: u32 = 7;
/// How long a lock is waited for, and how often.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '50ms'";
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

const LIST: &str = "select c.relname::text as name, c.relispartition as attached, \
    pg_get_expr(c.relpartbound, c.oid) as bound, pg_total_relation_size(c.oid) as bytes, \
    greatest(c.reltuples, 0)::bigint as rows from pg_class c where c.relkind = 'r' \
    and c.relnamespace = (select relnamespace from pg_class where oid = 'attempt'::regclass) \
    and c.relname ~ '^attempt_(before|[0-9]{8})$' order by 1";

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Partition {
    pub name: String,
    /// False when it was taken out and is still to be dropped.
    pub attached: bool,
    bound: Option<String>,
    pub bytes: i64,
    /// About so many.
    pub rows: i64,
}

impl Partition {
    /// All that is in it is below this id.
    fn upper(&self) -> Option<&str> {
        self.bound.as_ref()?.split_once(" TO ('")?.1.split('\'').next()
    }

    /// `2026-11-24`, for a file's name.
    #[must_use]
    pub fn label(&self) -> String {
        let label = self.name.trim_start_matches("attempt_");
        match (label.get(..4), label.get(4..6), label.get(6..8)) {
            (Some(year), Some(month), Some(day)) if label.len() == 8 => {
                format!("{year}-{month}-{day}")
            }
            _ => label.to_owned(),
        }
    }
}

/// The lowest attempt's id that can belong to a message of this moment.
pub(crate) fn floor(moment: Timestamp) -> String {
    MessageId::floor(moment).attempt_range().0
}

impl Store {
    /// Makes the partitions of today and the next days. Answers those that are new.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn make_partitions(&self) -> Result<Vec<String>> {
        let Either::Postgres(pool) = self.db() else { return Ok(Vec::new()) };
        let known = list(pool).await?;
        let today = Day::of(self.now());
        let mut made = Vec::new();
        for day in (0..=DAYS_AHEAD).map(|days| today.plus(days)) {
            let name = format!("attempt_{}", day.name().replace('-', ""));
            if known.iter().any(|partition| partition.name == name) {
                continue;
            }
            match make(pool, &name, day).await {
                Ok(()) => made.push(name),
                // Another process was first (42710 when both are at it: a table is a type, too), or
                // the default partition holds some of that day: then the day stays there.
                Err(error) if is_any(&error, &["42P07", "42710", "42P17", "23505", "23514"]) => {}
                Err(error) if is_lock_timeout(&error) => {
                    tracing::info!(%name, "no partition yet: the table is in use");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }

    /// Partitions whose attempts are all older than `before`, and those that were taken out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expired_partitions(&self, before: Day) -> Result<Vec<Partition>> {
        let Either::Postgres(pool) = self.db() else { return Ok(Vec::new()) };
        let floor = floor(before.start());
        let is_expired = |partition: &Partition| match partition.upper() {
            Some(upper) => upper <= floor.as_str(),
            None => !partition.attached,
        };
        Ok(list(pool).await?.into_iter().filter(is_expired).collect())
    }

    /// Takes a partition out of the table. False when the table was in use all the time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn detach_partition(&self, partition: &Partition) -> Result<bool> {
        let Either::Postgres(pool) = self.db() else { return Ok(false) };
        let sql = format!("alter table attempt detach partition {}", partition.name);
        for _ in 0..LOCK_TRIES {
            let mut tx = patient_not(pool).await?;
            let done = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut *tx).await;
            match done.map_err(StoreError::from) {
                Ok(_) => {
                    tx.commit().await?;
                    return Ok(true);
                }
                Err(error) if is_lock_timeout(&error) => {
                    drop(tx);
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                // Another process did it.
                Err(error) if is_any(&error, &["42P01"]) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Drops a partition that was taken out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_partition(&self, partition: &Partition) -> Result<()> {
        let Either::Postgres(pool) = self.db() else { return Ok(()) };
        let sql = format!("drop table if exists {}", partition.name);
        sqlx::query(AssertSqlSafe(sql)).execute(pool).await?;
        Ok(())
    }
}

async fn list(pool: &PgPool) -> Result<Vec<Partition>> {
    Ok(sqlx::query_as(LIST).fetch_all(pool).await?)
}

/// Beside the table first: to attach it takes no lock that readers or writers would notice.
async fn make(pool: &PgPool, name: &str, day: Day) -> Result<()> {
    let (low, high) = (floor(day.start()), floor(day.plus(1).start()));
    let mut tx = patient_not(pool).await?;
    for sql in [
        format!("create table {name} (like attempt including defaults including constraints)"),
        format!(
            "alter table attempt attach partition {name} for values from ('{low}') to ('{high}')"
        ),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

async fn patient_not(pool: &PgPool) -> Result<Transaction<'static, Postgres>> {
    let mut tx = pool.begin().await?;
    sqlx::query(LOCK_TIMEOUT).execute(&mut *tx).await?;
    Ok(tx)
}

fn is_lock_timeout(error: &StoreError) -> bool {
    is_any(error, &["55P03"])
}

fn is_any(error: &StoreError, codes: &[&str]) -> bool {
    let StoreError::Sql(sqlx::Error::Database(error)) = error else { return false };
    error.code().is_some_and(|code| codes.contains(&code.as_ref()))
}
