//! Nodes: the processes that may hold leases, and the rescue of what the dead ones held.
//!
//! A lease ends by itself after [`LEASE_MS`], which is what correctness rests on. To be quick
//! after a crash, each process also shows that it lives: on PostgreSQL by an advisory lock that
//! the server drops with the connection, on SQLite by being the only process that may deliver
//! from the file. Leases of a process that is gone are freed at once.

use std::str::FromStr;

use model::EndpointId;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::db::{Either, Tx, on};
use crate::{Result, Store, rows};

/// Leases freed in one transaction.
const STEP: i64 = 1_000;
/// The class of advisory locks that show that a node lives.
pub(crate) const LOCK_CLASS: i32 = 0x0d00_2be1;

const INSERT: &str =
    "insert into node (id, started_at) values ($1, $2) on conflict (id) do nothing";
const DELETE: &str = "delete from node where id = $1";
const OTHERS: &str = "select id from node where id <> $1";
const FREE_ENDED: &str = "update delivery set state = 0, due_at = $1, lease_owner = null \
    where id in (select id from delivery where state = 1 and due_at <= $1 limit $2) \
    and state = 1 and due_at <= $1 returning endpoint_id";
const FREE_OF_NODE: &str = "update delivery set state = 0, due_at = $1, lease_owner = null \
    where id in (select id from delivery where state = 1 and lease_owner = $3 limit $2) \
    and state = 1 and lease_owner = $3 returning endpoint_id";
const FREE_OF_OTHERS: &str = "update delivery set state = 0, due_at = $1, lease_owner = null \
    where id in (select id from delivery where state = 1 and lease_owner <> $3 limit $2) \
    and state = 1 and lease_owner <> $3 returning endpoint_id";
const LOWER_LANE: &str = "update lane set next_due_at = $2 \
    where endpoint_id = $1 and next_due_at > $2";
const LOCK: &str = "select pg_advisory_lock($1, hashint8($2))";
const TRY_LOCK: &str = "select pg_try_advisory_lock($1, hashint8($2))";
const UNLOCK: &str = "select pg_advisory_unlock($1, hashint8($2))";

impl Store {
    /// Enters this process as one that delivers. On SQLite every lease of an earlier process is
    /// freed: there can be no other.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn join(&self) -> Result<()> {
        self.show_life().await?;
        self.enter().await?;
        self.rescue().await.map(drop)
    }

    async fn enter(&self) -> Result<()> {
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(INSERT)
            .bind(self.0.node).bind(self.now().0).execute(&mut **c).await.map(drop))?;
        tx.commit().await
    }

    /// Leaves: frees what this process still holds.
    pub(crate) async fn leave(&self) {
        let node = self.0.node;
        if let Err(error) = self.free_all(FREE_OF_NODE, Some(node)).await {
            tracing::warn!(%error, "leases not freed; they run out by themselves");
        }
        let left = async {
            let mut tx = self.db().begin().await?;
            on!(&mut tx, c => sqlx::query(DELETE).bind(node).execute(&mut **c).await.map(drop))?;
            tx.commit().await
        };
        if let Err(error) = left.await {
            tracing::warn!(%error, "node not removed");
        }
        *self.0.node_lock.lock().await = None;
    }

    /// Frees leases that ended or whose process is gone; answers how many. Idempotent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rescue(&self) -> Result<u64> {
        let mut freed = self.free_all(FREE_ENDED, None).await?;
        freed += match self.db() {
            Either::Sqlite(_) => self.forget_others().await?,
            Either::Postgres(_) => self.rescue_dead().await?,
        };
        if freed > 0 {
            tracing::info!(freed, "leases rescued");
            self.0.wake.ring_queue();
        }
        Ok(freed)
    }

    async fn forget_others(&self) -> Result<u64> {
        let others = self.others().await?;
        if others.is_empty() {
            return Ok(0);
        }
        let freed = self.free_all(FREE_OF_OTHERS, Some(self.0.node)).await?;
        self.forget(&others).await?;
        Ok(freed)
    }

    async fn rescue_dead(&self) -> Result<u64> {
        let mut slot = self.0.node_lock.lock().await;
        let Some(connection) = slot.as_mut() else { return Ok(0) };
        if connection.ping().await.is_err() {
            // The connection that showed that we live is gone: show it again.
            *slot = Some(self.lock_node().await?);
            self.enter().await?;
            return Ok(0);
        }
        let mut freed = 0;
        for other in self.others().await? {
            let is_dead: bool = sqlx::query_scalar(TRY_LOCK)
                .bind(LOCK_CLASS)
                .bind(other)
                .fetch_one(&mut *connection)
                .await?;
            if is_dead {
                freed += self.free_all(FREE_OF_NODE, Some(other)).await?;
                self.forget(&[other]).await?;
                let _: bool = sqlx::query_scalar(UNLOCK)
                    .bind(LOCK_CLASS)
                    .bind(other)
                    .fetch_one(&mut *connection)
                    .await?;
            }
        }
        Ok(freed)
    }

    /// Shows on PostgreSQL that this process lives, if it does not show it yet or any more.
    pub(crate) async fn show_life(&self) -> Result<()> {
        if let Either::Sqlite(_) = self.db() {
            return Ok(());
        }
        let mut slot = self.0.node_lock.lock().await;
        let shown = match slot.as_mut() {
            Some(connection) => connection.ping().await.is_ok(),
            None => false,
        };
        if !shown {
            // Two connections of one node would wait for each other.
            *slot = None;
            *slot = Some(self.lock_node().await?);
            self.enter().await?;
        }
        Ok(())
    }

    async fn others(&self) -> Result<Vec<i64>> {
        let others: Vec<(i64,)> = on!(self.db().reader(), c => {
            sqlx::query_as(OTHERS).bind(self.0.node).fetch_all(c).await
        })?;
        Ok(others.into_iter().map(|(id,)| id).collect())
    }

    async fn forget(&self, nodes: &[i64]) -> Result<()> {
        let mut tx = self.db().begin().await?;
        for node in nodes {
            on!(&mut tx, c => sqlx::query(DELETE).bind(node).execute(&mut **c).await.map(drop))?;
        }
        tx.commit().await
    }

    /// Frees leases step by step until a step finds none.
    async fn free_all(&self, sql: &'static str, node: Option<i64>) -> Result<u64> {
        let mut freed = 0;
        loop {
            let mut tx = self.db().begin().await?;
            let n = self.free_some(&mut tx, sql, node).await?;
            tx.commit().await?;
            freed += n;
            if n == 0 {
                return Ok(freed);
            }
        }
    }

    async fn free_some(&self, tx: &mut Tx, sql: &'static str, node: Option<i64>) -> Result<u64> {
        let now = self.now();
        let endpoints: Vec<(String,)> = on!(&mut *tx, c => {
            let query = sqlx::query_as(sql).bind(now.0).bind(STEP);
            let query = match node {
                Some(node) => query.bind(node),
                None => query,
            };
            query.fetch_all(&mut **c).await
        })?;
        let freed = u64::try_from(endpoints.len()).unwrap_or(0);
        let mut endpoints: Vec<EndpointId> =
            endpoints.iter().map(|(id,)| rows::id(id)).collect::<Result<_>>()?;
        endpoints.sort_unstable();
        endpoints.dedup();
        for endpoint in endpoints {
            on!(&mut *tx, c => sqlx::query(LOWER_LANE)
                .bind(endpoint.as_str()).bind(now.0).execute(&mut **c).await.map(drop))?;
        }
        Ok(freed)
    }

    /// A connection that holds the lock of this node for as long as it lives.
    async fn lock_node(&self) -> Result<PgConnection> {
        let options = PgConnectOptions::from_str(&self.0.url)?.application_name("doorbell node");
        let mut connection = options.connect().await?;
        // Whoever took us for dead holds it for a moment.
        sqlx::query(LOCK).bind(LOCK_CLASS).bind(self.0.node).execute(&mut connection).await?;
        Ok(connection)
    }
}
