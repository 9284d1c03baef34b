//! Owners of keys, within a keyspace and an app. A key may name an owner that has no row: then
//! the owner has no limits and is enabled.

use model::audit::{Actor, Change};
use model::key::{KeyOwner, Tagged};
use model::{AppId, KeyspaceId};

use crate::db::{Tx, on};
use crate::key_changes::{self, Changed, KeyChangeKind};
use crate::key_rows::{TaggedRow, app_text, shown};
use crate::page::{Page, PageQuery};
use crate::{Result, Store, audit, rows};

const FIND: &str = "select body, tag, tag_version from key_owner \
    where keyspace_id = $1 and app_id = $2 and name = $3";
const LIST_ASCENDING: &str = "select body, tag, tag_version from key_owner \
    where keyspace_id = $1 and app_id = $2 and name > $3 and name < $4 order by name limit $5";
const LIST_DESCENDING: &str = "select body, tag, tag_version from key_owner \
    where keyspace_id = $1 and app_id = $2 and name > $3 and name < $4 \
    order by name desc limit $5";
const PUT: &str = "insert into key_owner (keyspace_id, app_id, name, body, version, tag, \
    tag_version) values ($1, $2, $3, $4, $5, $6, $7) \
    on conflict (keyspace_id, app_id, name) do update set body = excluded.body, \
    version = excluded.version, tag = excluded.tag, tag_version = excluded.tag_version";
const DELETE: &str = "delete from key_owner \
    where keyspace_id = $1 and app_id = $2 and name = $3";

/// What names an owner.
#[derive(Clone, Copy, Debug)]
pub struct OwnerRef<'a> {
    pub keyspace: KeyspaceId,
    pub app: Option<AppId>,
    pub name: &'a str,
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn key_owner(&self, owner: OwnerRef<'_>) -> Result<Option<Tagged<KeyOwner>>> {
        let row: Option<TaggedRow> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(owner.keyspace.as_str()).bind(app_text(owner.app.as_ref())).bind(owner.name)
            .fetch_optional(c).await)?;
        row.map(TaggedRow::read).transpose()
    }

    /// By name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_owners(
        &self,
        keyspace: KeyspaceId,
        app: Option<AppId>,
        query: &PageQuery,
    ) -> Result<Page<Tagged<KeyOwner>>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let rows: Vec<TaggedRow> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(keyspace.as_str()).bind(app_text(app.as_ref()))
            .bind(&keyset.above).bind(&keyset.below).bind(keyset.fetch())
            .fetch_all(c).await)?;
        let owners = rows.into_iter().map(TaggedRow::read).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(owners, |owner: &Tagged<KeyOwner>| owner.value.name.clone()))
    }

    /// Inserts version 1 or replaces the version before. False when somebody else was faster.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_key_owner(&self, owner: &Tagged<KeyOwner>, by: &Actor) -> Result<bool> {
        let value = &owner.value;
        let body = rows::to_json(value)?;
        let named = OwnerRef { keyspace: value.keyspace_id, app: value.app_id, name: &value.name };
        let mut tx = key_changes::begin(self).await?;
        let before = find(&mut tx, named).await?;
        // No other writer comes between: each waits for the transactions of the others.
        if before.as_ref().map_or(0, |before| before.version) + 1 != value.version {
            return Ok(false);
        }
        on!(&mut tx, c => sqlx::query(PUT)
            .bind(value.keyspace_id.as_str()).bind(app_text(value.app_id.as_ref()))
            .bind(&value.name).bind(body).bind(value.version)
            .bind(&owner.tag[..]).bind(rows::small(owner.pepper_version))
            .execute(&mut **c).await.map(drop))?;
        let action = match &before {
            None => "key_owner.create",
            Some(before) if before.enabled && !value.enabled => "key_owner.disable",
            Some(before) if !before.enabled && value.enabled => "key_owner.enable",
            Some(_) => "key_owner.update",
        };
        finish(self, tx, named, by, change(action, named, before.as_ref(), Some(value))?).await?;
        Ok(true)
    }

    /// False when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_key_owner(&self, owner: OwnerRef<'_>, by: &Actor) -> Result<bool> {
        let mut tx = key_changes::begin(self).await?;
        let Some(before) = find(&mut tx, owner).await? else { return Ok(false) };
        on!(&mut tx, c => sqlx::query(DELETE)
            .bind(owner.keyspace.as_str()).bind(app_text(owner.app.as_ref())).bind(owner.name)
            .execute(&mut **c).await.map(drop))?;
        let change = change("key_owner.delete", owner, Some(&before), None)?;
        finish(self, tx, owner, by, change).await?;
        Ok(true)
    }
}

async fn find(tx: &mut Tx, owner: OwnerRef<'_>) -> Result<Option<KeyOwner>> {
    let row: Option<TaggedRow> = on!(&mut *tx, c => sqlx::query_as(FIND)
        .bind(owner.keyspace.as_str()).bind(app_text(owner.app.as_ref())).bind(owner.name)
        .fetch_optional(&mut **c).await)?;
    Ok(row.map(TaggedRow::read).transpose()?.map(|found| found.value))
}

fn change(
    action: &'static str,
    owner: OwnerRef<'_>,
    before: Option<&KeyOwner>,
    after: Option<&KeyOwner>,
) -> Result<Change> {
    Ok(Change {
        action,
        target: owner.name.to_owned(),
        app_id: owner.app,
        before: before.map(shown).transpose()?,
        after: after.map(shown).transpose()?,
    })
}

async fn finish(
    store: &Store,
    mut tx: Tx,
    owner: OwnerRef<'_>,
    by: &Actor,
    change: Change,
) -> Result<()> {
    let kind = KeyChangeKind::Owner;
    let changed = Changed { kind, id: owner.name, keyspace: owner.keyspace, app: owner.app };
    key_changes::record(store, &mut tx, changed).await?;
    audit::append(store, &mut tx, by, change).await?;
    key_changes::commit(store, tx).await
}
