//! The change log of keys: what every node follows to keep what it knows of keys true.
//!
//! Whoever changes keys begins with [`begin`], writes, [`record`]s each change in the same
//! transaction and ends with [`commit`]. A follower reads [`Store::key_changes`] after the last
//! `seq` it has, four times a second, and [`Store::confirm_changes`] says how far it is; whoever
//! waits for a revocation to be everywhere reads [`Store::confirmations`]. The bell
//! ([`crate::KeyBell`]) only makes followers look sooner.
//!
//! Order of `seq` must be order of commit, or a follower that is past a number would never see
//! a lower one that is committed later. SQLite has one writer; on PostgreSQL all writers hold
//! one lock from before the number is drawn until the commit is visible.

use model::key::Key;
use model::{AppId, KeyspaceId, Timestamp};
use sqlx::FromRow;

use crate::db::{Either, Tx, on};
use crate::key_rows::{app_of, app_text};
use crate::nodes::LOCK_CLASS;
use crate::{Result, Store, rows};

/// Changes read at one time, at the most.
pub const MAX_CHANGES: u32 = 1_000;
/// What PostgreSQL notifies on.
pub(crate) const CHANNEL: &str = "doorbell_key";
/// Changes deleted in one transaction.
const PRUNE_STEP: i64 = 10_000;

/// "doorbkey" as a number: the advisory lock of whoever changes keys.
const LOCK: &str = "select pg_advisory_xact_lock(7237125663275836793)";
const INSERT: &str = "insert into key_change (kind, id, keyspace_id, app_id, at) \
    values ($1, $2, $3, $4, $5)";
const NOTIFY: &str = "select pg_notify($1, '')";
const AFTER: &str = "select seq, kind, id, keyspace_id, app_id, at from key_change \
    where seq > $1 order by seq limit $2";
const NEWEST: &str = "select coalesce(max(seq), 0) from key_change";
const CONFIRM: &str = "insert into key_seen (node, seq, at) values ($1, $2, $3) \
    on conflict (node) do update set seq = excluded.seq, at = excluded.at";
// The newest change stays: a log that was emptied would look like one where nothing happened.
const PRUNE: &str = "delete from key_change where seq in (select seq from key_change \
    where at < $1 and seq < (select max(seq) from key_change) order by seq limit $2)";

macro_rules! lives_postgres {
    () => {
        "exists (select 1 from pg_locks l where l.locktype = 'advisory' and l.granted \
         and l.objsubid = 2 and l.classid::bigint = $1 \
         and l.objid::bigint = (hashint8(s.node)::bigint & 4294967295) and l.database = \
         (select oid from pg_database where datname = current_database()))"
    };
}
macro_rules! lives_sqlite {
    () => {
        "(s.node = $1 or s.node in (select id from node))"
    };
}
const LIVING_SQLITE: &str =
    concat!("select node, seq, at from key_seen s where ", lives_sqlite!(), " order by node");
const LIVING_POSTGRES: &str =
    concat!("select node, seq, at from key_seen s where ", lives_postgres!(), " order by node");
const FORGET_SQLITE: &str =
    concat!("delete from key_seen as s where at < $2 and not ", lives_sqlite!());
const FORGET_POSTGRES: &str =
    concat!("delete from key_seen as s where at < $2 and not ", lives_postgres!());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChangeKind {
    Keyspace = 0,
    Key = 1,
    Owner = 2,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    pub seq: i64,
    pub kind: KeyChangeKind,
    /// The id of the keyspace or of the key, the name of the owner.
    pub id: String,
    pub keyspace_id: KeyspaceId,
    pub app_id: Option<AppId>,
    pub at: Timestamp,
}

/// How far a living node has followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    pub node: i64,
    pub seq: i64,
    pub at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    kind: i16,
    id: String,
    keyspace_id: String,
    app_id: String,
    at: i64,
}

impl TryFrom<Row> for KeyChange {
    type Error = crate::StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            seq: row.seq,
            kind: match row.kind {
                0 => KeyChangeKind::Keyspace,
                1 => KeyChangeKind::Key,
                2 => KeyChangeKind::Owner,
                other => return Err(rows::corrupt("kind of change", other)),
            },
            id: row.id,
            keyspace_id: rows::id(&row.keyspace_id)?,
            app_id: app_of(&row.app_id)?,
            at: Timestamp(row.at),
        })
    }
}

/// A transaction that changes keys.
pub(crate) async fn begin(store: &Store) -> Result<Tx> {
    let mut tx = store.db().begin().await?;
    if let Either::Postgres(c) = &mut tx {
        sqlx::query(LOCK).execute(&mut **c).await?;
    }
    Ok(tx)
}

/// What changed.
#[derive(Clone, Copy)]
pub(crate) struct Changed<'a> {
    pub kind: KeyChangeKind,
    pub id: &'a str,
    pub keyspace: KeyspaceId,
    pub app: Option<AppId>,
}

impl<'a> Changed<'a> {
    pub fn key(key: &'a Key) -> Self {
        let kind = KeyChangeKind::Key;
        Self { kind, id: key.id.as_str(), keyspace: key.keyspace_id, app: key.app_id }
    }
}

pub(crate) async fn record(store: &Store, tx: &mut Tx, changed: Changed<'_>) -> Result<()> {
    on!(&mut *tx, c => sqlx::query(INSERT)
        .bind(changed.kind as i16).bind(changed.id).bind(changed.keyspace.as_str())
        .bind(app_text(changed.app.as_ref())).bind(store.now().0)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

/// Makes it so and rings the bells.
pub(crate) async fn commit(store: &Store, mut tx: Tx) -> Result<()> {
    if let Either::Postgres(c) = &mut tx {
        sqlx::query(NOTIFY).bind(CHANNEL).execute(&mut **c).await?;
    }
    tx.commit().await?;
    store.0.key_rings.send_modify(|rings| *rings += 1);
    Ok(())
}

impl Store {
    /// The next changes in order, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_changes(&self, after_seq: i64, limit: u32) -> Result<Vec<KeyChange>> {
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(AFTER)
            .bind(after_seq).bind(i64::from(limit.min(MAX_CHANGES))).fetch_all(c).await)?;
        rows.into_iter().map(KeyChange::try_from).collect()
    }

    /// 0 when nothing ever changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_key_change(&self) -> Result<i64> {
        Ok(on!(self.db().reader(), c => sqlx::query_scalar(NEWEST).fetch_one(c).await)?)
    }

    /// Says that this node knows all changes up to `seq`. On PostgreSQL it also shows that it
    /// lives, if it does not yet: nodes that do not deliver have followers too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirm_changes(&self, seq: i64) -> Result<()> {
        self.show_life().await?;
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(CONFIRM)
            .bind(self.0.node).bind(seq).bind(self.now().0)
            .execute(&mut **c).await.map(drop))?;
        tx.commit().await
    }

    /// How far each living node is. Of a file of SQLite, those are the process that asks and
    /// the one that delivers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirmations(&self) -> Result<Vec<Confirmation>> {
        let (sql, mark) = match self.db() {
            Either::Sqlite(_) => (LIVING_SQLITE, self.0.node),
            Either::Postgres(_) => (LIVING_POSTGRES, i64::from(LOCK_CLASS)),
        };
        let rows: Vec<(i64, i64, i64)> = on!(self.db().reader(), c => {
            sqlx::query_as(sql).bind(mark).fetch_all(c).await
        })?;
        let confirmation = |(node, seq, at)| Confirmation { node, seq, at: Timestamp(at) };
        Ok(rows.into_iter().map(confirmation).collect())
    }

    /// Deletes changes from before that moment, and what dead nodes said; answers how many
    /// changes. A follower that was away for longer reads everything anew.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_key_changes(&self, before: Timestamp) -> Result<u64> {
        let (forget, mark) = match self.db() {
            Either::Sqlite(_) => (FORGET_SQLITE, self.0.node),
            Either::Postgres(_) => (FORGET_POSTGRES, i64::from(LOCK_CLASS)),
        };
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(forget)
            .bind(mark).bind(before.0).execute(&mut **c).await.map(drop))?;
        tx.commit().await?;
        let mut pruned = 0;
        loop {
            let mut tx = self.db().begin().await?;
            let step = on!(&mut tx, c => sqlx::query(PRUNE).bind(before.0).bind(PRUNE_STEP)
                .execute(&mut **c).await.map(|done| done.rows_affected()))?;
            tx.commit().await?;
            pruned += step;
            if step == 0 {
                return Ok(pruned);
            }
        }
    }
}
