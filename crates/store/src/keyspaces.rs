//! Keyspaces. What verification reads is the body under its tag; the kinds of digests that were
//! imported stand beside it, because they only say which further indexes are worth a look.

use model::KeyspaceId;
use model::audit::{Actor, Change};
use model::key::{Keyspace, RotationPolicy, Tagged};

use crate::db::{Tx, on};
use crate::key_changes::{self, Changed, KeyChangeKind};
use crate::key_rows::{self, TaggedRow};
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, audit, rows};

const FIND: &str = "select body, tag, tag_version from keyspace where id = $1 or uid = $1";
const LIST_ASCENDING: &str = "select body, tag, tag_version from keyspace \
    where id > $1 and id < $2 order by id limit $3";
const LIST_DESCENDING: &str = "select body, tag, tag_version from keyspace \
    where id > $1 and id < $2 order by id desc limit $3";
const INSERT: &str = "insert into keyspace (id, uid, body, version, tag, tag_version, \
    notice_after_ms) values ($1, $2, $3, $4, $5, $6, $7)";
const UPDATE: &str = "update keyspace set uid = $2, body = $3, version = $4, tag = $5, \
    tag_version = $6, notice_after_ms = $7 where id = $1 and version = $4 - 1";
const DELETE: &str = "delete from keyspace where id = $1";
const DELETE_OWNERS: &str = "delete from key_owner where keyspace_id = $1";
const HAS_KEYS: &str = "select count(*) from (select 1 from key where keyspace_id = $1 limit 1) k";
const IMPORT_KINDS: &str = "select id, import_kinds from keyspace \
    where import_kinds is not null order by id";
const IMPORT_KINDS_OF: &str = "select import_kinds from keyspace where id = $1";
const SET_IMPORT_KINDS: &str = "update keyspace set import_kinds = $2 where id = $1";

/// What became of a wish to delete a keyspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyspaceDeletion {
    Deleted,
    HasKeys,
    NotFound,
}

/// When a renewal is announced, counted from the creation of the secret.
pub(crate) fn notice_after_ms(policy: Option<&RotationPolicy>) -> Option<i64> {
    let after_ms = |policy: &RotationPolicy| policy.interval_ms.saturating_sub(policy.notice_ms);
    policy.map(|policy| i64::try_from(after_ms(policy)).unwrap_or(i64::MAX / 2))
}

impl Store {
    /// By its id or by its uid.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keyspace(&self, keyspace: &str) -> Result<Option<Tagged<Keyspace>>> {
        let row: Option<TaggedRow> = on!(self.db().reader(), c => {
            sqlx::query_as(FIND).bind(keyspace).fetch_optional(c).await
        })?;
        row.map(TaggedRow::read).transpose()
    }

    /// # Errors
    /// When the database fails.
    pub async fn keyspaces(&self, query: &PageQuery) -> Result<Page<Tagged<Keyspace>>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let rows: Vec<TaggedRow> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(&keyset.above).bind(&keyset.below).bind(keyset.fetch())
            .fetch_all(c).await)?;
        let keyspaces = rows.into_iter().map(TaggedRow::read).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(keyspaces, |keyspace: &Tagged<Keyspace>| keyspace.value.id.to_string()))
    }

    /// False when the uid is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_keyspace(&self, keyspace: &Tagged<Keyspace>, by: &Actor) -> Result<bool> {
        self.write_keyspace(INSERT, keyspace, by).await
    }

    /// False when the stored version is not the one before, or the uid is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_keyspace(&self, keyspace: &Tagged<Keyspace>, by: &Actor) -> Result<bool> {
        self.write_keyspace(UPDATE, keyspace, by).await
    }

    async fn write_keyspace(
        &self,
        sql: &'static str,
        keyspace: &Tagged<Keyspace>,
        by: &Actor,
    ) -> Result<bool> {
        let value = &keyspace.value;
        let body = rows::to_json(value)?;
        let mut tx = key_changes::begin(self).await?;
        let before = find(&mut tx, value.id).await?;
        let written = on!(&mut tx, c => sqlx::query(sql)
            .bind(value.id.as_str())
            .bind(&value.uid)
            .bind(body)
            .bind(value.version)
            .bind(&keyspace.tag[..])
            .bind(rows::small(keyspace.pepper_version))
            .bind(notice_after_ms(value.rotation.as_ref()))
            .execute(&mut **c).await.map(|done| done.rows_affected()))
        .map_err(StoreError::from);
        match written {
            Err(error) if error.is_unique_violation() => return Ok(false),
            Ok(0) => return Ok(false),
            written => written?,
        };
        let action = if before.is_some() { "keyspace.update" } else { "keyspace.create" };
        let change = change(action, value.id, before.as_ref(), Some(value))?;
        finish(self, tx, value.id, by, change).await?;
        Ok(true)
    }

    /// Deletes it with its owners, unless it has keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_keyspace(&self, id: KeyspaceId, by: &Actor) -> Result<KeyspaceDeletion> {
        let mut tx = key_changes::begin(self).await?;
        let Some(before) = find(&mut tx, id).await? else {
            return Ok(KeyspaceDeletion::NotFound);
        };
        // Whoever inserts a key waits for this transaction, or this one for theirs.
        let keys: i64 = on!(&mut tx, c => sqlx::query_scalar(HAS_KEYS)
            .bind(id.as_str()).fetch_one(&mut **c).await)?;
        if keys > 0 {
            return Ok(KeyspaceDeletion::HasKeys);
        }
        for sql in [DELETE_OWNERS, DELETE] {
            on!(&mut tx, c => sqlx::query(sql)
                .bind(id.as_str()).execute(&mut **c).await.map(drop))?;
        }
        let change = change("keyspace.delete", id, Some(&before), None)?;
        finish(self, tx, id, by, change).await?;
        Ok(KeyspaceDeletion::Deleted)
    }

    /// Kinds of digests that were imported, of every keyspace that has any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn import_kinds(&self) -> Result<Vec<(KeyspaceId, Vec<String>)>> {
        let found: Vec<(String, Option<String>)> = on!(self.db().reader(), c => {
            sqlx::query_as(IMPORT_KINDS).fetch_all(c).await
        })?;
        let kinds = |(id, kinds): &(String, Option<String>)| {
            Ok((rows::id(id)?, rows::list(kinds.as_deref())?))
        };
        found.iter().map(kinds).collect()
    }

    /// Notes that a keyspace has imports of this kind. Idempotent. False when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_import_kind(&self, id: KeyspaceId, kind: &str, by: &Actor) -> Result<bool> {
        let mut tx = key_changes::begin(self).await?;
        let found: Option<(Option<String>,)> = on!(&mut tx, c => sqlx::query_as(IMPORT_KINDS_OF)
            .bind(id.as_str()).fetch_optional(&mut **c).await)?;
        let Some((kinds,)) = found else { return Ok(false) };
        let before = rows::list(kinds.as_deref())?;
        if before.iter().any(|known| known == kind) {
            return Ok(true);
        }
        let mut kinds = before.clone();
        kinds.push(kind.to_owned());
        on!(&mut tx, c => sqlx::query(SET_IMPORT_KINDS)
            .bind(id.as_str()).bind(rows::to_list(&kinds)?)
            .execute(&mut **c).await.map(drop))?;
        let change = Change {
            action: "keyspace.add_import_kind",
            target: id.to_string(),
            app_id: None,
            before: Some(serde_json::json!({ "importKinds": before })),
            after: Some(serde_json::json!({ "importKinds": kinds })),
        };
        finish(self, tx, id, by, change).await?;
        Ok(true)
    }
}

async fn find(tx: &mut Tx, id: KeyspaceId) -> Result<Option<Keyspace>> {
    let row: Option<TaggedRow> = on!(&mut *tx, c => {
        sqlx::query_as(FIND).bind(id.as_str()).fetch_optional(&mut **c).await
    })?;
    Ok(row.map(TaggedRow::read).transpose()?.map(|found| found.value))
}

fn change(
    action: &'static str,
    id: KeyspaceId,
    before: Option<&Keyspace>,
    after: Option<&Keyspace>,
) -> Result<Change> {
    Ok(Change {
        action,
        target: id.to_string(),
        app_id: None,
        before: before.map(key_rows::shown).transpose()?,
        after: after.map(key_rows::shown).transpose()?,
    })
}

async fn finish(store: &Store, mut tx: Tx, id: KeyspaceId, by: &Actor, made: Change) -> Result<()> {
    let kind = KeyChangeKind::Keyspace;
    let changed = Changed { kind, id: id.as_str(), keyspace: id, app: None };
    key_changes::record(store, &mut tx, changed).await?;
    audit::append(store, &mut tx, by, made).await?;
    key_changes::commit(store, tx).await
}
