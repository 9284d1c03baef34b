//! Tokens that wait: a policy renewed the secret, and nobody was there to be shown the token. It
//! is sealed like every secret, written in the transaction of its rotation, and given out once.

use model::audit::{Actor, Change};
use model::key::{Key, Tagged};
use model::{KeySecretId, Timestamp};
use serde_json::json;
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::key_rows::TaggedRow;
use crate::{Result, Store, audit, rows};

/// Tokens of one answer, at the most.
pub const MAX_WAITING: u32 = 1_000;

const PUT: &str = "insert into key_token (key_id, secret_id, sealed, created_at, ends_at) \
    values ($1, $2, $3, $4, $5) on conflict (key_id) do update set \
    secret_id = excluded.secret_id, sealed = excluded.sealed, \
    created_at = excluded.created_at, ends_at = excluded.ends_at";
const TAKE: &str = "delete from key_token where key_id = $1 returning secret_id, sealed, ends_at";
const DELETE: &str = "delete from key_token where key_id = $1";
const DELETE_ENDED: &str = "delete from key_token where ends_at <= $1";
const WAITING: &str = "select t.secret_id, t.created_at, t.ends_at, s.ends_at as old_ends_at, \
    k.body, k.tag, k.tag_version from key_token t join key k on k.id = t.key_id \
    left join key_secret s on s.id = (select id from key_secret o where o.key_id = t.key_id \
    and o.ends_at is not null order by o.ends_at desc, o.id desc limit 1) \
    where t.ends_at > $1 and t.key_id > $2 order by t.key_id limit $3";

/// A token that nobody has collected yet.
#[derive(Clone, Debug)]
pub struct WaitingToken {
    pub key: Tagged<Key>,
    pub secret_id: KeySecretId,
    pub created_at: Timestamp,
    /// Until when it waits.
    pub ends_at: Timestamp,
    /// Until when the secret before is good.
    pub old_ends_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    secret_id: String,
    created_at: i64,
    ends_at: i64,
    old_ends_at: Option<i64>,
    #[sqlx(flatten)]
    key: TaggedRow,
}

impl TryFrom<Row> for WaitingToken {
    type Error = crate::StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            secret_id: rows::id(&row.secret_id)?,
            created_at: Timestamp(row.created_at),
            ends_at: Timestamp(row.ends_at),
            old_ends_at: rows::moment(row.old_ends_at),
            key: row.key.read()?,
        })
    }
}

/// A token that its rotation leaves behind.
#[derive(Clone, Copy)]
pub(crate) struct NewToken<'a> {
    pub secret_id: KeySecretId,
    pub token: &'a str,
    /// Until when it waits.
    pub ends_at: Timestamp,
}

impl Store {
    /// Gives out the token that waits for this key, once. None when there is none, or its time
    /// is over.
    ///
    /// # Errors
    /// When the database fails, or what was sealed does not open.
    pub async fn collect_key_token(&self, key: &Key, by: &Actor) -> Result<Option<String>> {
        let mut tx = self.db().begin().await?;
        let taken: Option<(String, Vec<u8>, i64)> = on!(&mut tx, c => sqlx::query_as(TAKE)
            .bind(key.id.as_str()).fetch_optional(&mut **c).await)?;
        let Some((secret_id, sealed, ends_at)) = taken else { return Ok(None) };
        if Timestamp(ends_at) <= self.now() {
            return Ok(None);
        }
        let token = self.0.vault.open(&context(&secret_id), &sealed)?;
        let token = String::from_utf8(token).map_err(|error| rows::corrupt("token", error))?;
        let change = Change {
            action: "key.collect",
            target: key.id.to_string(),
            app_id: key.app_id,
            before: None,
            after: Some(json!({ "secretId": secret_id })),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(Some(token))
    }

    /// Those that can still be collected, in the order of their keys, after `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_key_tokens(
        &self,
        after: Option<model::KeyId>,
        limit: u32,
    ) -> Result<Vec<WaitingToken>> {
        let after = after.as_ref().map_or("", model::KeyId::as_str);
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(WAITING)
            .bind(self.now().0).bind(after).bind(i64::from(limit.min(MAX_WAITING)))
            .fetch_all(c).await)?;
        rows.into_iter().map(WaitingToken::try_from).collect()
    }

    /// Deletes those whose time is over; answers how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_key_tokens(&self) -> Result<u64> {
        let mut tx = self.db().begin().await?;
        let ended = on!(&mut tx, c => sqlx::query(DELETE_ENDED)
            .bind(self.now().0).execute(&mut **c).await.map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(ended)
    }
}

/// In the transaction of a rotation: what waited is of a secret that is current no more.
pub(crate) async fn replace(
    store: &Store,
    tx: &mut Tx,
    key: &Key,
    new: Option<NewToken<'_>>,
) -> Result<()> {
    let Some(new) = new else {
        on!(tx, c => sqlx::query(DELETE).bind(key.id.as_str()).execute(&mut **c).await.map(drop))?;
        return Ok(());
    };
    let sealed = store.0.vault.seal(&context(new.secret_id.as_str()), new.token.as_bytes())?;
    on!(tx, c => sqlx::query(PUT)
        .bind(key.id.as_str()).bind(new.secret_id.as_str()).bind(sealed)
        .bind(store.now().0).bind(new.ends_at.0)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

pub(crate) fn context(secret_id: &str) -> String {
    format!("key_token/{secret_id}")
}
