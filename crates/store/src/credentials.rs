//! What a verification reads: a secret with its key, their keyspace and owner.
//!
//! The rows come as they are stored, with their tags. Whoever verifies checks each tag, and that
//! the rows belong together ([`Credential::is_whole`]): a row that was put in the place of
//! another has a good tag, but not this one's names.

use std::collections::HashMap;
use std::sync::Arc;

use model::key::{Key, KeyOwner, KeySecret, Keyspace, Tagged};
use model::{KeyId, KeySecretId, KeyspaceId, Timestamp};
use sqlx::FromRow;

use crate::db::on;
use crate::key_rows::{OverRows, TaggedRow, digest, one_column, over_rows};
use crate::key_secrets::{self, secret_columns};
use crate::{Result, Store, rows};

/// Candidates for a token that has no index, at the most.
pub const MAX_BY_START: i64 = 8;
/// Rows of one page of a warm-up, at the most.
pub const MAX_WARM_UP: u32 = 10_000;

macro_rules! credential {
    () => {
        concat!(
            "select ",
            secret_columns!(),
            ", k.body as key_body, k.tag as key_tag, k.tag_version as key_tag_version, \
             k.last_used_at as key_last_used_at, o.body as owner_body, o.tag as owner_tag, \
             o.tag_version as owner_tag_version from key_secret s join key k on k.id = s.key_id \
             left join key_owner o on o.keyspace_id = k.keyspace_id and o.app_id = k.app_id \
             and o.name = k.owner "
        )
    };
}

const BY_LOOKUP: &str = concat!(credential!(), "where s.lookup = $1");
const BY_START: &str = concat!(
    credential!(),
    "where s.keyspace_id = $1 and s.start = $2 and s.lookup is null \
     and (s.ends_at is null or s.ends_at > $3) order by s.id limit $4"
);
const OF_KEYS: OverRows = over_rows!(
    concat!(credential!(), "where s.key_id in (select value->>0 from "),
    ") order by s.id"
);
const PAGE: &str = concat!(
    credential!(),
    "where s.id > $1 and (s.ends_at is null or s.ends_at > $2) and k.revoked_at is null \
     and k.enabled order by s.id limit $3"
);
const LOOKUPS: &str = "select id, key_id, lookup, tag_version from key_secret \
    where id > $1 and lookup is not null order by id limit $2";
const KEYSPACES: OverRows = over_rows!(
    "select id, body, tag, tag_version from keyspace where id in (select value->>0 from ",
    ")"
);

/// A secret with all that decides about it.
#[derive(Clone, Debug)]
pub struct Credential {
    pub keyspace: Arc<Tagged<Keyspace>>,
    pub key: Tagged<Key>,
    pub secret: Tagged<KeySecret>,
    pub owner: Option<Tagged<KeyOwner>>,
    /// Of the key, whichever secret it was used by.
    pub last_used_at: Option<Timestamp>,
}

impl Credential {
    /// Whether the rows name each other.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let key = &self.key.value;
        let owner_is_keys = self.owner.as_ref().is_none_or(|owner| {
            let owner = &owner.value;
            owner.keyspace_id == key.keyspace_id
                && owner.app_id == key.app_id
                && Some(&owner.name) == key.owner.as_ref()
        });
        self.secret.value.key_id == key.id
            && self.keyspace.value.id == key.keyspace_id
            && owner_is_keys
    }
}

/// A secret as filters know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub secret_id: KeySecretId,
    pub key_id: KeyId,
    pub lookup: [u8; 32],
    /// Which pepper the lookup was made with.
    pub tag_version: u32,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    secret: key_secrets::Row,
    key_body: String,
    key_tag: Vec<u8>,
    key_tag_version: i32,
    key_last_used_at: Option<i64>,
    owner_body: Option<String>,
    owner_tag: Option<Vec<u8>>,
    owner_tag_version: Option<i32>,
}

/// A credential whose keyspace is still to be read.
struct Found {
    key: Tagged<Key>,
    secret: Tagged<KeySecret>,
    owner: Option<Tagged<KeyOwner>>,
    last_used_at: Option<Timestamp>,
}

impl TryFrom<Row> for Found {
    type Error = crate::StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let key =
            TaggedRow { body: row.key_body, tag: row.key_tag, tag_version: row.key_tag_version };
        let owner = match (row.owner_body, row.owner_tag, row.owner_tag_version) {
            (Some(body), Some(tag), Some(tag_version)) => {
                Some(TaggedRow { body, tag, tag_version }.read()?)
            }
            _ => None,
        };
        Ok(Self {
            key: key.read()?,
            secret: row.secret.try_into()?,
            owner,
            last_used_at: rows::moment(row.key_last_used_at),
        })
    }
}

#[derive(FromRow)]
struct KeyspaceRow {
    id: String,
    #[sqlx(flatten)]
    keyspace: TaggedRow,
}

type Keyspaces = HashMap<KeyspaceId, Arc<Tagged<Keyspace>>>;

impl Store {
    /// # Errors
    /// When the database fails or a row is not readable.
    pub async fn credential_by_lookup(&self, lookup: &[u8; 32]) -> Result<Option<Credential>> {
        let row: Option<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(BY_LOOKUP).bind(&lookup[..]).fetch_optional(c).await
        })?;
        let Some(row) = row else { return Ok(None) };
        let found = vec![Found::try_from(row)?];
        Ok(self.with_keyspaces(found).await?.pop())
    }

    /// Living secrets without a lookup, which only their password hash can tell apart:
    /// [`MAX_BY_START`] of them at the most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn credentials_by_start(
        &self,
        keyspace: KeyspaceId,
        start: &str,
    ) -> Result<Vec<Credential>> {
        let rows = on!(self.db().reader(), c => sqlx::query_as(BY_START)
            .bind(keyspace.as_str()).bind(start).bind(self.now().0).bind(MAX_BY_START)
            .fetch_all(c).await)?;
        self.with_keyspaces(readable(rows)).await
    }

    /// Every secret of these keys, living or ended. A key that is gone is not among them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn credentials_of_keys(&self, keys: &[KeyId]) -> Result<Vec<Credential>> {
        let keys = one_column(keys.iter())?;
        let rows = on!(self.db().reader(), c => {
            sqlx::query_as(OF_KEYS.of(self.db())).bind(&keys).fetch_all(c).await
        })?;
        self.with_keyspaces(readable(rows)).await
    }

    /// Living secrets of living keys in id order, up to [`MAX_WARM_UP`]. An empty page is the
    /// end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn credentials_page(
        &self,
        after: Option<KeySecretId>,
        limit: u32,
    ) -> Result<Vec<Credential>> {
        let after = after.as_ref().map_or("", KeySecretId::as_str);
        let rows = on!(self.db().reader(), c => sqlx::query_as(PAGE)
            .bind(after).bind(self.now().0).bind(i64::from(limit.min(MAX_WARM_UP)))
            .fetch_all(c).await)?;
        self.with_keyspaces(readable(rows)).await
    }

    /// Every lookup that is kept, in the order of secret ids, up to [`MAX_WARM_UP`]; also those
    /// of revoked keys and ended secrets, whose users are to be told so. An empty page is the
    /// end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lookups_page(
        &self,
        after: Option<KeySecretId>,
        limit: u32,
    ) -> Result<Vec<Lookup>> {
        let after = after.as_ref().map_or("", KeySecretId::as_str);
        let found: Vec<(String, String, Vec<u8>, i32)> = on!(self.db().reader(), c => {
            sqlx::query_as(LOOKUPS).bind(after).bind(i64::from(limit.min(MAX_WARM_UP)))
                .fetch_all(c).await
        })?;
        let lookup = |(secret, key, lookup, version): &(String, String, Vec<u8>, i32)| {
            let (secret_id, key_id) = (rows::id(secret)?, rows::id(key)?);
            let tag_version = rows::count(*version);
            Ok(Lookup { secret_id, key_id, lookup: digest(lookup)?, tag_version })
        };
        found.iter().map(lookup).collect()
    }

    async fn with_keyspaces(&self, found: Vec<Found>) -> Result<Vec<Credential>> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids: Vec<KeyspaceId> = found.iter().map(|one| one.key.value.keyspace_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let keyspaces = self.keyspaces_by_ids(&ids).await?;
        // One whose keyspace was deleted between the two reads is no credential any more.
        let whole = |one: Found| {
            let keyspace = keyspaces.get(&one.key.value.keyspace_id)?.clone();
            let Found { key, secret, owner, last_used_at } = one;
            Some(Credential { keyspace, key, secret, owner, last_used_at })
        };
        Ok(found.into_iter().filter_map(whole).collect())
    }

    async fn keyspaces_by_ids(&self, ids: &[KeyspaceId]) -> Result<Keyspaces> {
        let ids = one_column(ids.iter())?;
        let rows: Vec<KeyspaceRow> = on!(self.db().reader(), c => {
            sqlx::query_as(KEYSPACES.of(self.db())).bind(&ids).fetch_all(c).await
        })?;
        let read = |row: KeyspaceRow| Ok((rows::id(&row.id)?, Arc::new(row.keyspace.read()?)));
        rows.into_iter().map(read).collect()
    }
}

/// Among many, one that somebody spoiled does not hide the others.
fn readable(rows: Vec<Row>) -> Vec<Found> {
    let read = |row: Row| {
        Found::try_from(row).inspect_err(|error| tracing::error!(%error, "a key is left out")).ok()
    };
    rows.into_iter().filter_map(read).collect()
}
