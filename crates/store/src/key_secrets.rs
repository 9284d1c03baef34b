//! Secrets of keys. The current one has no end; the one before it is good until its grace is
//! over. Ends are only ever brought forward, so that no secret that is about to die lives on.
//! What has ended is kept for a while, so that its users are told that it was rotated.

use model::audit::{Actor, Change};
use model::key::{Key, KeySecret, Tagged};
use model::{AppId, KeyId, KeySecretId, KeyspaceId, Timestamp};
use serde_json::json;
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::key_rows::{digest, tagged};
use crate::key_tokens::{self, NewToken};
use crate::{Result, Store, StoreError, key_changes, key_edits, keys, rows};

/// Ended secrets of one key that are kept.
pub const MAX_ENDED_SECRETS: usize = 8;

macro_rules! secret_columns {
    () => {
        "s.id, s.key_id, s.lookup, s.hash, s.pepper_version, s.start, s.created_at, s.ends_at, \
         s.tag, s.tag_version, s.last_used_at"
    };
}
pub(crate) use secret_columns;

const OF_KEY: &str = concat!(
    "select ",
    secret_columns!(),
    " from key_secret s where s.key_id = $1 order by s.created_at desc, s.id desc"
);
const INSERT: &str = "insert into key_secret (id, key_id, keyspace_id, lookup, hash, \
    pepper_version, start, created_at, ends_at, tag, tag_version, last_used_at) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
// The tag is over the hash as well: one that was made anew meanwhile needs another.
// The lookup is of the same token, by the pepper of the tag.
const BRING_END_FORWARD: &str = "update key_secret set ends_at = $3, tag = $4, tag_version = $5, \
    lookup = $7 \
    where id = $1 and key_id = $2 and hash = $6 and (ends_at is null or ends_at > $3)";
// Only a secret that the rotation did not know of: its tag cannot be made here.
const DELETE_OTHER_LIVING: &str = "delete from key_secret where key_id = $1 and id <> $2 \
    and (ends_at is null or (ends_at > $3 and id <> $4))";
const DELETE_LONG_ENDED: &str = "delete from key_secret where key_id = $1 and id in \
    (select id from key_secret where key_id = $1 and ends_at <= $2 \
    order by ends_at desc, id desc limit 1000 offset $3)";
const KEY_OF: &str = "select app_id from key where id = $1";
const REHASH: &str = "update key_secret set lookup = $3, hash = $4, pepper_version = $5, \
    tag = $6, tag_version = $7 where id = $1 and hash = $2 and coalesce(ends_at, -1) = $8";

/// A rotation, as its maker worked it out from [`Store::secrets_of`].
#[derive(Clone, Debug)]
pub struct Rotation {
    /// With its version raised: refused when somebody else was faster.
    pub key: Tagged<Key>,
    pub new: Tagged<KeySecret>,
    /// Every secret that was living, with its new end: the current one's is the end of its
    /// grace, one that was still in grace ends at once.
    pub ended: Vec<Tagged<KeySecret>>,
}

#[derive(FromRow)]
pub(crate) struct Row {
    id: String,
    key_id: String,
    lookup: Option<Vec<u8>>,
    hash: String,
    pepper_version: i32,
    start: String,
    created_at: i64,
    ends_at: Option<i64>,
    tag: Vec<u8>,
    tag_version: i32,
    last_used_at: Option<i64>,
}

impl TryFrom<Row> for Tagged<KeySecret> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let secret = KeySecret {
            id: rows::id(&row.id)?,
            key_id: rows::id(&row.key_id)?,
            lookup: row.lookup.as_deref().map(digest).transpose()?,
            hash: row.hash,
            pepper_version: rows::count(row.pepper_version),
            start: row.start,
            created_at: Timestamp(row.created_at),
            ends_at: rows::moment(row.ends_at),
            last_used_at: rows::moment(row.last_used_at),
        };
        tagged(secret, &row.tag, row.tag_version)
    }
}

impl Store {
    /// Living and ended ones, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn secrets_of(&self, key: KeyId) -> Result<Vec<Tagged<KeySecret>>> {
        let rows: Vec<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(OF_KEY).bind(key.as_str()).fetch_all(c).await
        })?;
        rows.into_iter().map(Tagged::try_from).collect()
    }

    /// Rotates: the new secret is the current one, the one before ends after its grace, any
    /// third at once. False when the stored version of the key is not the one before, or one of
    /// its secrets ended or was made anew meanwhile: read again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_secret(&self, rotation: &Rotation, by: &Actor) -> Result<bool> {
        self.rotate(rotation, None, by).await
    }

    /// As [`Store::add_secret`], by itself: the new secret's token waits until `ends_at` for
    /// whoever collects it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_secret_unasked(
        &self,
        rotation: &Rotation,
        token: &str,
        ends_at: Timestamp,
        by: &Actor,
    ) -> Result<bool> {
        let token = NewToken { secret_id: rotation.new.value.id, token, ends_at };
        self.rotate(rotation, Some(token), by).await
    }

    async fn rotate(
        &self,
        rotation: &Rotation,
        token: Option<NewToken<'_>>,
        by: &Actor,
    ) -> Result<bool> {
        let key = &rotation.key.value;
        let new = &rotation.new.value;
        let mut tx = key_changes::begin(self).await?;
        if !key_edits::replace(&mut tx, &rotation.key).await? {
            return Ok(false);
        }
        for secret in &rotation.ended {
            if !bring_end_forward(&mut tx, secret).await? {
                return Ok(false);
            }
        }
        insert(&mut tx, key.keyspace_id, &rotation.new).await?;
        let in_grace = rotation.ended.iter().max_by_key(|secret| secret.value.ends_at);
        let in_grace = in_grace.map_or(new.id, |secret| secret.value.id);
        self.tidy_secrets(&mut tx, new, in_grace).await?;
        key_tokens::replace(self, &mut tx, key, token).await?;
        let change = Change {
            action: "key.rotate",
            target: key.id.to_string(),
            app_id: key.app_id,
            before: Some(rotation.ended.iter().map(|secret| shown(&secret.value)).collect()),
            after: Some(shown(new)),
        };
        key_edits::record(self, &mut tx, key, by, change).await?;
        key_changes::commit(self, tx).await?;
        Ok(true)
    }

    /// At most two are living, and of the ended ones only the latest are kept.
    async fn tidy_secrets(
        &self,
        tx: &mut Tx,
        new: &KeySecret,
        in_grace: KeySecretId,
    ) -> Result<()> {
        let now = self.now();
        on!(&mut *tx, c => sqlx::query(DELETE_OTHER_LIVING)
            .bind(new.key_id.as_str()).bind(new.id.as_str()).bind(now.0).bind(in_grace.as_str())
            .execute(&mut **c).await.map(drop))?;
        let kept = i64::try_from(MAX_ENDED_SECRETS).unwrap_or(i64::MAX);
        on!(&mut *tx, c => sqlx::query(DELETE_LONG_ENDED)
            .bind(new.key_id.as_str()).bind(now.0).bind(kept)
            .execute(&mut **c).await.map(drop))?;
        Ok(())
    }

    /// Brings the end of a secret forward to its `ends_at`. False when it is not there, has no
    /// new end, ended before, or was made anew meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_secret(&self, secret: &Tagged<KeySecret>, by: &Actor) -> Result<bool> {
        let key_id = secret.value.key_id;
        let mut tx = key_changes::begin(self).await?;
        let Some(key) = key_of(&mut tx, key_id).await? else { return Ok(false) };
        if !bring_end_forward(&mut tx, secret).await? {
            return Ok(false);
        }
        let change = Change {
            action: "key.end_secret",
            target: key_id.to_string(),
            app_id: key.app_id,
            before: None,
            after: Some(shown(&secret.value)),
        };
        key_edits::record(self, &mut tx, &key, by, change).await?;
        key_changes::commit(self, tx).await?;
        Ok(true)
    }

    /// Puts a lookup, hash and tag that were made anew (with a newer pepper, as a better hash)
    /// in the place of those beside the hash `before`. False when somebody else was faster.
    /// Nothing that the key may do changes by it: it is not in the audit log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rehash_secret(&self, before: &str, secret: &Tagged<KeySecret>) -> Result<bool> {
        let value = &secret.value;
        let mut tx = key_changes::begin(self).await?;
        let Some(key) = key_of(&mut tx, value.key_id).await? else { return Ok(false) };
        let done = on!(&mut tx, c => sqlx::query(REHASH)
            .bind(value.id.as_str()).bind(before)
            .bind(value.lookup.as_ref().map(|lookup| &lookup[..]))
            .bind(&value.hash).bind(rows::small(value.pepper_version))
            .bind(&secret.tag[..]).bind(rows::small(secret.pepper_version))
            .bind(value.ends_at.map_or(-1, |ends_at| ends_at.0))
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if done == 0 {
            return Ok(false);
        }
        key_changes::record(self, &mut tx, key_changes::Changed::key(&key)).await?;
        key_changes::commit(self, tx).await?;
        Ok(true)
    }
}

pub(crate) async fn insert(
    tx: &mut Tx,
    keyspace: KeyspaceId,
    secret: &Tagged<KeySecret>,
) -> Result<()> {
    let value = &secret.value;
    on!(tx, c => sqlx::query(INSERT)
        .bind(value.id.as_str())
        .bind(value.key_id.as_str())
        .bind(keyspace.as_str())
        .bind(value.lookup.as_ref().map(|lookup| &lookup[..]))
        .bind(&value.hash)
        .bind(rows::small(value.pepper_version))
        .bind(&value.start)
        .bind(value.created_at.0)
        .bind(rows::ms(value.ends_at))
        .bind(&secret.tag[..])
        .bind(rows::small(secret.pepper_version))
        .bind(rows::ms(value.last_used_at))
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

async fn bring_end_forward(tx: &mut Tx, secret: &Tagged<KeySecret>) -> Result<bool> {
    let value = &secret.value;
    let Some(ends_at) = value.ends_at else { return Ok(false) };
    let done = on!(tx, c => sqlx::query(BRING_END_FORWARD)
        .bind(value.id.as_str()).bind(value.key_id.as_str()).bind(ends_at.0)
        .bind(&secret.tag[..]).bind(rows::small(secret.pepper_version)).bind(&value.hash)
        .bind(value.lookup.as_ref().map(|lookup| &lookup[..]))
        .execute(&mut **c).await.map(|done| done.rows_affected()))?;
    Ok(done > 0)
}

async fn key_of(tx: &mut Tx, id: KeyId) -> Result<Option<Key>> {
    let app: Option<(String,)> = on!(&mut *tx, c => {
        sqlx::query_as(KEY_OF).bind(id.as_str()).fetch_optional(&mut **c).await
    })?;
    let Some((app,)) = app else { return Ok(None) };
    let app: Option<AppId> = crate::key_rows::app_of(&app)?;
    keys::find(tx, app, id).await
}

/// A secret as the audit log shows it: nothing that it could be verified with.
fn shown(secret: &KeySecret) -> serde_json::Value {
    json!({
        "id": secret.id,
        "start": secret.start,
        "createdAt": secret.created_at,
        "endsAt": secret.ends_at,
    })
}
