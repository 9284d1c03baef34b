//! The audit log: every change of configuration, by whom, with what was before and after.
//!
//! Whoever changes something hands its [`Change`] to [`append`] in the transaction of the change,
//! so that one is never kept without the other. `append` is the last thing a transaction does
//! before its commit: on PostgreSQL it locks the head of the chain, and from there to the commit
//! one change waits for the other. No method here changes an entry; only retention removes any
//! (`audit/expiry.rs`), from the first one on.

mod expiry;
pub(crate) mod shown;
mod verify;

use model::audit::{Actor, ActorKind, Change, Entry, Hash, NOTHING, Record};
use model::{AppId, Timestamp};
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, rows};

pub use verify::AuditVerdict;

/// The name of the mark at the newest entry.
const HEAD: &str = "head";

/// Which entries of the log.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    pub page: PageQuery,
    /// A whole action, `endpoint.update`, or its noun, `endpoint`.
    pub action: Option<String>,
    pub target: Option<String>,
    pub app: Option<AppId>,
    /// By id or name.
    pub actor: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

macro_rules! columns {
    () => {
        "seq, at, actor_kind, actor_id, actor_name, actor_address, request_id, action, target, \
         app_id, state_before, state_after, hash"
    };
}
// What a list is narrowed by most is a condition of its own, for its index.
macro_rules! list {
    ($narrowed:literal, $order:literal) => {
        concat!(
            "select ",
            columns!(),
            " from audit where ",
            $narrowed,
            " and seq > $1 and seq < $2 and ($4 = '' or app_id = $4) \
             and ($5 = '' or action = $5 or substr(action, 1, length($5) + 1) = $5 || '.') \
             and ($6 = '' or actor_id = $6 or actor_name = $6) \
             and at >= $7 and at < $8 ",
            $order,
            " limit $9"
        )
    };
}

const ALL_ASCENDING: &str = list!("$3 = ''", "order by seq");
const ALL_DESCENDING: &str = list!("$3 = ''", "order by seq desc");
const TARGET_ASCENDING: &str = list!("target = $3", "order by seq");
const TARGET_DESCENDING: &str = list!("target = $3", "order by seq desc");
const APP_ASCENDING: &str = list!("$3 = '' and app_id = $4", "order by seq");
const APP_DESCENDING: &str = list!("$3 = '' and app_id = $4", "order by seq desc");
const INSERT: &str = concat!(
    "insert into audit (",
    columns!(),
    ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
);
const PAGE_AFTER: &str =
    concat!("select ", columns!(), " from audit where seq > $1 order by seq limit $2");
const HEAD_MARK: &str = "select seq, hash, tag from audit_mark where name = $1";
const LOCK_HEAD: &str = "select seq, hash, tag from audit_mark where name = $1 for update";
const NEWEST: &str = "select coalesce(max(seq), 0) from audit";
const INSERT_HEAD: &str = "insert into audit_mark (name, seq, hash, tag) \
    values ($1, $2, $3, $4) on conflict (name) do nothing";
const MOVE_HEAD: &str = "update audit_mark set seq = $2, hash = $3, tag = $4 where name = $1";

#[derive(FromRow)]
struct Row {
    seq: i64,
    at: i64,
    actor_kind: String,
    actor_id: Option<String>,
    actor_name: String,
    actor_address: Option<String>,
    request_id: Option<String>,
    action: String,
    target: String,
    app_id: Option<String>,
    state_before: Option<String>,
    state_after: Option<String>,
    hash: Vec<u8>,
}

impl Row {
    fn record(&self) -> Record<'_> {
        Record {
            seq: self.seq,
            at: self.at,
            actor_kind: &self.actor_kind,
            actor_id: self.actor_id.as_deref(),
            actor_name: &self.actor_name,
            actor_address: self.actor_address.as_deref(),
            request_id: self.request_id.as_deref(),
            action: &self.action,
            target: &self.target,
            app_id: self.app_id.as_deref(),
            before: self.state_before.as_deref(),
            after: self.state_after.as_deref(),
        }
    }
}

impl TryFrom<Row> for Entry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let address = row.actor_address.as_deref().map(str::parse).transpose();
        Ok(Self {
            seq: row.seq,
            at: Timestamp(row.at),
            actor: Actor {
                kind: ActorKind::parse(&row.actor_kind),
                id: row.actor_id,
                name: row.actor_name,
                address: address.map_err(|error| rows::corrupt("address", error))?,
                request_id: row.request_id,
            },
            action: row.action,
            target: row.target,
            app_id: row.app_id.as_deref().map(rows::id).transpose()?,
            before: row.state_before.as_deref().map(rows::json).transpose()?,
            after: row.state_after.as_deref().map(rows::json).transpose()?,
            hash: hash_of(&row.hash)?,
        })
    }
}

/// Where the chain stands, or where its kept entries begin.
#[derive(Clone, Copy)]
struct Mark {
    name: &'static str,
    seq: i64,
    hash: Hash,
    tag: Hash,
}

type MarkRow = (i64, Vec<u8>, Vec<u8>);

impl Mark {
    fn new(store: &Store, name: &'static str, seq: i64, hash: Hash) -> Self {
        Self { name, seq, hash, tag: store.0.audit.mark(name, seq, &hash) }
    }

    /// One that is not readable is not ours either.
    fn of(name: &'static str, (seq, hash, tag): MarkRow) -> Self {
        let read = |bytes: &[u8]| bytes.try_into().unwrap_or(NOTHING);
        Self { name, seq, hash: read(&hash), tag: read(&tag) }
    }

    fn is_ours(&self, store: &Store) -> bool {
        store.0.audit.mark(self.name, self.seq, &self.hash) == self.tag
    }

    async fn write(&self, tx: &mut Tx, sql: &'static str) -> Result<()> {
        on!(tx, c => sqlx::query(sql)
            .bind(self.name).bind(self.seq).bind(&self.hash[..]).bind(&self.tag[..])
            .execute(&mut **c).await.map(drop))?;
        Ok(())
    }
}

fn hash_of(bytes: &[u8]) -> Result<Hash> {
    bytes.try_into().map_err(|error| rows::corrupt("audit hash", error))
}

impl Store {
    /// Entries of the log, newest first unless asked otherwise.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_log(&self, query: &AuditQuery) -> Result<Page<Entry>> {
        let keyset = query.page.keyset();
        let sql = match (&query.target, &query.app, keyset.ascending) {
            (Some(_), _, true) => TARGET_ASCENDING,
            (Some(_), _, false) => TARGET_DESCENDING,
            (None, Some(_), true) => APP_ASCENDING,
            (None, Some(_), false) => APP_DESCENDING,
            (None, None, true) => ALL_ASCENDING,
            (None, None, false) => ALL_DESCENDING,
        };
        let found: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(keyset.above.parse().unwrap_or(0_i64))
            .bind(keyset.below.parse().unwrap_or(i64::MAX))
            .bind(query.target.as_deref().unwrap_or_default())
            .bind(query.app.as_ref().map_or("", AppId::as_str))
            .bind(query.action.as_deref().unwrap_or_default())
            .bind(query.actor.as_deref().unwrap_or_default())
            .bind(query.since.map_or(i64::MIN, |since| since.0))
            .bind(query.until.map_or(i64::MAX, |until| until.0))
            .bind(keyset.fetch())
            .fetch_all(c).await)?;
        let entries = found.into_iter().map(Entry::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(entries, |entry| entry.seq.to_string()))
    }

    /// Writes down something that changed nothing in the database, such as an attempt that was
    /// refused because a row had been tampered with.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_audit(&self, by: &Actor, change: Change) -> Result<()> {
        let mut tx = self.db().begin().await?;
        append(self, &mut tx, by, change).await?;
        tx.commit().await
    }
}

/// Chains a change to the log, in the transaction that makes it. The commit comes next.
///
/// # Errors
/// When the database fails, or when the head of the chain is not as we left it.
pub(crate) async fn append(store: &Store, tx: &mut Tx, by: &Actor, change: Change) -> Result<()> {
    let before = change.before.as_ref().map(rows::to_json).transpose()?;
    let after = change.after.as_ref().map(rows::to_json).transpose()?;
    let address = by.address.map(|address| address.to_string());
    let head = lock_head(store, tx).await?;
    let record = Record {
        seq: head.seq + 1,
        at: store.now().0,
        actor_kind: by.kind.as_str(),
        actor_id: by.id.as_deref(),
        actor_name: &by.name,
        actor_address: address.as_deref(),
        request_id: by.request_id.as_deref(),
        action: change.action,
        target: &change.target,
        app_id: change.app_id.as_ref().map(AppId::as_str),
        before: before.as_deref(),
        after: after.as_deref(),
    };
    let hash = store.0.audit.link(&head.hash, &record);
    on!(&mut *tx, c => sqlx::query(INSERT)
        .bind(record.seq).bind(record.at)
        .bind(record.actor_kind).bind(record.actor_id).bind(record.actor_name)
        .bind(record.actor_address).bind(record.request_id)
        .bind(record.action).bind(record.target).bind(record.app_id)
        .bind(record.before).bind(record.after)
        .bind(&hash[..])
        .execute(&mut **c).await.map(drop))?;
    Mark::new(store, HEAD, record.seq, hash).write(tx, MOVE_HEAD).await
}

/// The head of the chain, until the commit for nobody else. A log that holds entries but no head
/// was cut: nothing is chained to it.
async fn lock_head(store: &Store, tx: &mut Tx) -> Result<Mark> {
    let head = match read_head(tx).await? {
        Some(head) => head,
        None => {
            let newest: i64 = on!(&mut *tx, c => {
                sqlx::query_scalar(NEWEST).fetch_one(&mut **c).await
            })?;
            if newest > 0 {
                return Err(rows::corrupt("audit log", "its head is missing"));
            }
            Mark::new(store, HEAD, 0, NOTHING).write(tx, INSERT_HEAD).await?;
            let head = read_head(tx).await?;
            head.ok_or_else(|| rows::corrupt("audit log", "its head is missing"))?
        }
    };
    if !head.is_ours(store) {
        return Err(rows::corrupt("audit log", "its head was tampered with"));
    }
    Ok(head)
}

async fn read_head(tx: &mut Tx) -> Result<Option<Mark>> {
    let row: Option<MarkRow> = match tx {
        Tx::Sqlite(c) => sqlx::query_as(HEAD_MARK).bind(HEAD).fetch_optional(&mut **c).await?,
        Tx::Postgres(c) => sqlx::query_as(LOCK_HEAD).bind(HEAD).fetch_optional(&mut **c).await?,
    };
    Ok(row.map(|row| Mark::of(HEAD, row)))
}
