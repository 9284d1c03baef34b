//! Changes of keys. Each writes its row, its line of the change log and its audit entry in one
//! transaction. An update names the version it was made from and is refused when that is no
//! longer the stored one: its maker reads again.

use model::audit::{Actor, Change};
use model::key::{Key, KeySecret, Tagged};
use model::{AppId, KeyId};

use crate::db::{Tx, on};
use crate::key_changes::{self, Changed};
use crate::key_rows::{app_text, shown};
use crate::keyspaces::notice_after_ms;
use crate::{Result, Store, audit, key_secrets, keys, rows};

/// Keys updated in one transaction, at the most.
pub const MAX_BULK_KEYS: usize = 1_000;

const INSERT: &str = "insert into key (id, keyspace_id, app_id, owner, tags, enabled, revoked_at, \
    expires_at, notice_after_ms, body, version, tag, tag_version) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const UPDATE: &str = "update key set owner = $4, tags = $5, enabled = $6, revoked_at = $7, \
    expires_at = $8, notice_after_ms = $9, body = $10, version = $11, tag = $12, \
    tag_version = $13 where id = $1 and keyspace_id = $2 and app_id = $3 and version = $11 - 1";
const PARENTS: &str = "select (select count(*) from keyspace where id = $1) \
    + case when $2 = '' then 1 else (select count(*) from app where id = $2) end";
const DELETE: &str = "delete from key where id = $1";
const DELETE_SECRETS: &str = "delete from key_secret where key_id = $1";
const DELETE_USAGE: &str = "delete from key_usage where key_id = $1";
const DELETE_TOKEN: &str = "delete from key_token where key_id = $1";
const DELETE_NOTICE: &str = "delete from key_rotation where key_id = $1";

const LOG_KEYS_OF_APP: &str = "insert into key_change (kind, id, keyspace_id, app_id, at) \
    select 1, id, keyspace_id, app_id, $2 from key where app_id = $1 order by id";
const LOG_OWNERS_OF_APP: &str = "insert into key_change (kind, id, keyspace_id, app_id, at) \
    select 2, name, keyspace_id, app_id, $2 from key_owner where app_id = $1 order by name";
const DELETE_SECRETS_OF_APP: &str = "delete from key_secret where key_id in \
    (select id from key where app_id = $1)";
const DELETE_USAGE_OF_APP: &str = "delete from key_usage where key_id in \
    (select id from key where app_id = $1)";
const DELETE_TOKENS_OF_APP: &str = "delete from key_token where key_id in \
    (select id from key where app_id = $1)";
const DELETE_NOTICES_OF_APP: &str = "delete from key_rotation where key_id in \
    (select id from key where app_id = $1)";
const DELETE_OF_APP: &str = "delete from key where app_id = $1";
const DELETE_OWNERS_OF_APP: &str = "delete from key_owner where app_id = $1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyInsertion {
    Inserted,
    /// Another secret has this lookup: the very token exists already.
    Taken,
    /// The keyspace or the app is gone.
    ParentGone,
}

impl Store {
    /// Inserts a key with its first secret.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_key(
        &self,
        key: &Tagged<Key>,
        secret: &Tagged<KeySecret>,
        by: &Actor,
    ) -> Result<KeyInsertion> {
        let value = &key.value;
        let mut tx = key_changes::begin(self).await?;
        let parents: i64 = on!(&mut tx, c => sqlx::query_scalar(PARENTS)
            .bind(value.keyspace_id.as_str()).bind(app_text(value.app_id.as_ref()))
            .fetch_one(&mut **c).await)?;
        if parents < 2 {
            return Ok(KeyInsertion::ParentGone);
        }
        write(&mut tx, INSERT, key).await?;
        match key_secrets::insert(&mut tx, value.keyspace_id, secret).await {
            Err(error) if error.is_unique_violation() => return Ok(KeyInsertion::Taken),
            done => done?,
        }
        let change = change("key.create", value, None, Some(value))?;
        record(self, &mut tx, value, by, change).await?;
        key_changes::commit(self, tx).await?;
        Ok(KeyInsertion::Inserted)
    }

    /// False when the stored version is not the one before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_key(&self, key: &Tagged<Key>, by: &Actor) -> Result<bool> {
        Ok(!self.update_keys(std::slice::from_ref(key), by).await?.is_empty())
    }

    /// Updates those whose stored version is still the one before, in one transaction, and
    /// answers which. Hand in up to [`MAX_BULK_KEYS`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_keys(&self, keys: &[Tagged<Key>], by: &Actor) -> Result<Vec<KeyId>> {
        let mut tx = key_changes::begin(self).await?;
        let mut updated = Vec::with_capacity(keys.len());
        for key in keys {
            if update(self, &mut tx, key, by).await? {
                updated.push(key.value.id);
            }
        }
        if !updated.is_empty() {
            key_changes::commit(self, tx).await?;
        }
        Ok(updated)
    }

    /// Deletes a key with its secrets and its usage. False when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_key(&self, app: Option<AppId>, id: KeyId, by: &Actor) -> Result<bool> {
        let mut tx = key_changes::begin(self).await?;
        let Some(before) = keys::find(&mut tx, app, id).await? else { return Ok(false) };
        for sql in [DELETE_USAGE, DELETE_TOKEN, DELETE_NOTICE, DELETE_SECRETS, DELETE] {
            on!(&mut tx, c => sqlx::query(sql)
                .bind(id.as_str()).execute(&mut **c).await.map(drop))?;
        }
        let change = change("key.delete", &before, Some(&before), None)?;
        record(self, &mut tx, &before, by, change).await?;
        key_changes::commit(self, tx).await?;
        Ok(true)
    }
}

/// Replaces a key whose stored version is the one before, with its log and audit entries.
async fn update(store: &Store, tx: &mut Tx, key: &Tagged<Key>, by: &Actor) -> Result<bool> {
    let after = &key.value;
    let Some(before) = keys::find(tx, after.app_id, after.id).await? else { return Ok(false) };
    if !replace(tx, key).await? {
        return Ok(false);
    }
    let change = change(verb(&before, after), after, Some(&before), Some(after))?;
    record(store, tx, after, by, change).await?;
    Ok(true)
}

/// False when the stored version is not the one before.
pub(crate) async fn replace(tx: &mut Tx, key: &Tagged<Key>) -> Result<bool> {
    Ok(write(tx, UPDATE, key).await? > 0)
}

async fn write(tx: &mut Tx, sql: &'static str, key: &Tagged<Key>) -> Result<u64> {
    let value = &key.value;
    let body = rows::to_json(value)?;
    let tags = rows::to_list(&value.tags)?;
    Ok(on!(tx, c => sqlx::query(sql)
        .bind(value.id.as_str())
        .bind(value.keyspace_id.as_str())
        .bind(app_text(value.app_id.as_ref()))
        .bind(&value.owner)
        .bind(tags)
        .bind(value.enabled)
        .bind(value.revoked.as_ref().map(|revocation| revocation.at.0))
        .bind(rows::ms(value.expires_at))
        .bind(notice_after_ms(value.rotation.as_ref()))
        .bind(body)
        .bind(value.version)
        .bind(&key.tag[..])
        .bind(rows::small(key.pepper_version))
        .execute(&mut **c).await.map(|done| done.rows_affected()))?)
}

/// What an update did, by its weightiest part.
fn verb(before: &Key, after: &Key) -> &'static str {
    match (before, after) {
        _ if before.revoked.is_none() && after.revoked.is_some() => "key.revoke",
        _ if before.enabled && !after.enabled => "key.disable",
        _ if !before.enabled && after.enabled => "key.enable",
        _ => "key.update",
    }
}

fn change(
    action: &'static str,
    key: &Key,
    before: Option<&Key>,
    after: Option<&Key>,
) -> Result<Change> {
    Ok(Change {
        action,
        target: key.id.to_string(),
        app_id: key.app_id,
        before: before.map(shown).transpose()?,
        after: after.map(shown).transpose()?,
    })
}

/// The lines that a change of a key leaves in both logs.
pub(crate) async fn record(
    store: &Store,
    tx: &mut Tx,
    key: &Key,
    by: &Actor,
    change: Change,
) -> Result<()> {
    key_changes::record(store, tx, Changed::key(key)).await?;
    audit::append(store, tx, by, change).await
}

/// Deletes all keys and owners of an app, in a transaction that changes keys.
pub(crate) async fn delete_of_app(store: &Store, tx: &mut Tx, app: AppId) -> Result<()> {
    for sql in [LOG_KEYS_OF_APP, LOG_OWNERS_OF_APP] {
        on!(&mut *tx, c => sqlx::query(sql)
            .bind(app.as_str()).bind(store.now().0).execute(&mut **c).await.map(drop))?;
    }
    let all = [
        DELETE_USAGE_OF_APP,
        DELETE_TOKENS_OF_APP,
        DELETE_NOTICES_OF_APP,
        DELETE_SECRETS_OF_APP,
        DELETE_OF_APP,
        DELETE_OWNERS_OF_APP,
    ];
    for sql in all {
        on!(&mut *tx, c => sqlx::query(sql)
            .bind(app.as_str()).execute(&mut **c).await.map(drop))?;
    }
    Ok(())
}
