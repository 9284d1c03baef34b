//! Rows of keys under an older pepper: how many there are, and carrying them on.
//!
//! `keys` makes the new lookups and tags, without any token. A row takes them only when it still
//! bears the tag that they were made beside, so that no change in between is lost. Nothing that
//! a key may do changes by it: it is neither in the change log nor in the audit log.

use model::key::{Key, KeyOwner, KeySecret, Keyspace, Tagged};
use serde::de::DeserializeOwned;
use sqlx::FromRow;

use crate::db::on;
use crate::key_rows::{TaggedRow, app_text};
use crate::key_secrets::{self, secret_columns};
use crate::{Result, Store, rows};

/// Rows of one step, at the most.
pub const MAX_CARRIED: i64 = 500;

const CHECK_NAME: &str = "pepper_check";
const CHECK: &str = "select sealed from instance where name = $1";
const INSERT_CHECK: &str =
    "insert into instance (name, sealed) values ($1, $2) on conflict (name) do nothing";
const COUNT_SECRETS: &str = "select count(*) from key_secret";
const BEHIND: &str = "select \
    (select count(*) from keyspace where tag_version < $1) as keyspaces, \
    (select count(*) from key where tag_version < $1) as keys, \
    (select count(*) from key_secret where tag_version < $1) as secrets, \
    (select count(*) from key_owner where tag_version < $1) as owners, \
    (select count(*) from key_secret where pepper_version < $1) as hashes";
const NEWEST_TAG: &str = "select max(version) from (select max(tag_version) as version from key \
    union all select max(tag_version) from keyspace \
    union all select max(tag_version) from key_secret) v";
const SECRETS: &str = concat!(
    "select ",
    secret_columns!(),
    " from key_secret s where s.tag_version < $1 order by s.id limit $2 offset $3"
);
const KEYSPACES: &str = "select body, tag, tag_version from keyspace where tag_version < $1 \
    order by id limit $2 offset $3";
const KEYS: &str = "select body, tag, tag_version from key where tag_version < $1 \
    order by id limit $2 offset $3";
const OWNERS: &str = "select body, tag, tag_version from key_owner where tag_version < $1 \
    order by keyspace_id, app_id, name limit $2 offset $3";
const CARRY_SECRET: &str = "update key_secret set lookup = $3, tag = $4, tag_version = $5 \
    where id = $1 and tag = $2";
const CARRY_KEYSPACE: &str = "update keyspace set tag = $3, tag_version = $4 \
    where id = $1 and tag = $2";
const CARRY_KEY: &str = "update key set tag = $3, tag_version = $4 where id = $1 and tag = $2";
const CARRY_OWNER: &str = "update key_owner set tag = $3, tag_version = $4 \
    where keyspace_id = $1 and tag = $2 and app_id = $5 and name = $6";

/// Rows that are not under the newest pepper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct RowsBehind {
    pub keyspaces: i64,
    pub keys: i64,
    pub secrets: i64,
    pub owners: i64,
    /// Password hashes: each is made anew when its key is next used.
    pub hashes: i64,
}

/// A row as it was read, and as it becomes.
#[derive(Debug)]
pub struct Carried<T> {
    pub before: [u8; 32],
    pub after: Tagged<T>,
}

impl Store {
    /// Keeps the check value of a pepper version, and answers whether it is the one that was
    /// kept first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check_pepper(&self, version: u32, value: &[u8; 32]) -> Result<bool> {
        let name = format!("{CHECK_NAME}/{version}");
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(INSERT_CHECK)
            .bind(&name).bind(&value[..]).execute(&mut **c).await.map(drop))?;
        tx.commit().await?;
        let kept: Vec<u8> = on!(self.db().reader(), c => {
            sqlx::query_scalar(CHECK).bind(&name).fetch_one(c).await
        })?;
        Ok(kept == value)
    }

    /// The newest pepper version that any row is under; 0 without rows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_tag_version(&self) -> Result<u32> {
        let newest: Option<i32> = on!(self.db().reader(), c => {
            sqlx::query_scalar(NEWEST_TAG).fetch_one(c).await
        })?;
        Ok(newest.map_or(0, rows::count))
    }

    /// # Errors
    /// When the database fails.
    pub async fn count_key_secrets(&self) -> Result<usize> {
        let count: i64 = on!(self.db().reader(), c => {
            sqlx::query_scalar(COUNT_SECRETS).fetch_one(c).await
        })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// # Errors
    /// When the database fails.
    pub async fn rows_behind(&self, version: u32) -> Result<RowsBehind> {
        Ok(on!(self.db().reader(), c => {
            sqlx::query_as(BEHIND).bind(rows::small(version)).fetch_one(c).await
        })?)
    }

    /// Those under an older pepper than this, without the first `left`, which stay as they are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn secrets_behind(&self, version: u32, left: i64) -> Result<Vec<Tagged<KeySecret>>> {
        let found: Vec<key_secrets::Row> = on!(self.db().reader(), c => sqlx::query_as(SECRETS)
            .bind(rows::small(version)).bind(MAX_CARRIED).bind(left).fetch_all(c).await)?;
        found.into_iter().map(Tagged::try_from).collect()
    }

    /// As [`Store::secrets_behind`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keyspaces_behind(&self, version: u32, left: i64) -> Result<Vec<Tagged<Keyspace>>> {
        self.behind(KEYSPACES, version, left).await
    }

    /// As [`Store::secrets_behind`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys_behind(&self, version: u32, left: i64) -> Result<Vec<Tagged<Key>>> {
        self.behind(KEYS, version, left).await
    }

    /// As [`Store::secrets_behind`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn owners_behind(&self, version: u32, left: i64) -> Result<Vec<Tagged<KeyOwner>>> {
        self.behind(OWNERS, version, left).await
    }

    async fn behind<T: DeserializeOwned>(
        &self,
        sql: &'static str,
        version: u32,
        left: i64,
    ) -> Result<Vec<Tagged<T>>> {
        let found: Vec<TaggedRow> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(rows::small(version)).bind(MAX_CARRIED).bind(left).fetch_all(c).await)?;
        found.into_iter().map(TaggedRow::read).collect()
    }

    /// Gives secrets their new lookups and tags.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn carry_secrets(&self, carried: &[Carried<KeySecret>]) -> Result<()> {
        let mut tx = self.db().begin().await?;
        for Carried { before, after } in carried {
            on!(&mut tx, c => sqlx::query(CARRY_SECRET)
                .bind(after.value.id.as_str()).bind(&before[..])
                .bind(after.value.lookup.as_ref().map(|lookup| &lookup[..]))
                .bind(&after.tag[..]).bind(rows::small(after.pepper_version))
                .execute(&mut **c).await.map(drop))?;
        }
        tx.commit().await
    }

    /// Gives keyspaces their new tags.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn carry_keyspaces(&self, carried: &[Carried<Keyspace>]) -> Result<()> {
        self.carry(CARRY_KEYSPACE, carried, |keyspace| keyspace.id.as_str()).await
    }

    /// Gives keys their new tags.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn carry_keys(&self, carried: &[Carried<Key>]) -> Result<()> {
        self.carry(CARRY_KEY, carried, |key| key.id.as_str()).await
    }

    async fn carry<T>(
        &self,
        sql: &'static str,
        carried: &[Carried<T>],
        id: impl Fn(&T) -> &str,
    ) -> Result<()> {
        let mut tx = self.db().begin().await?;
        for Carried { before, after } in carried {
            on!(&mut tx, c => sqlx::query(sql)
                .bind(id(&after.value)).bind(&before[..])
                .bind(&after.tag[..]).bind(rows::small(after.pepper_version))
                .execute(&mut **c).await.map(drop))?;
        }
        tx.commit().await
    }

    /// Gives owners their new tags.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn carry_owners(&self, carried: &[Carried<KeyOwner>]) -> Result<()> {
        let mut tx = self.db().begin().await?;
        for Carried { before, after } in carried {
            let owner = &after.value;
            on!(&mut tx, c => sqlx::query(CARRY_OWNER)
                .bind(owner.keyspace_id.as_str()).bind(&before[..])
                .bind(&after.tag[..]).bind(rows::small(after.pepper_version))
                .bind(app_text(owner.app_id.as_ref())).bind(&owner.name)
                .execute(&mut **c).await.map(drop))?;
        }
        tx.commit().await
    }
}
