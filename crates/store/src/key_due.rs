//! Keys whose time comes: that expire, or whose secret is to be renewed.

use model::key::{Key, KeySecret, RotationPolicy, Tagged};
use model::{KeyId, Timestamp};
use sqlx::FromRow;

use crate::db::on;
use crate::key_rows::TaggedRow;
use crate::key_secrets::{self, secret_columns};
use crate::{Result, RotationNotice, Store};

/// Keys of one answer, at the most.
pub const MAX_DUE: u32 = 1_000;

const EXPIRING: &str = "select body, tag, tag_version from key where expires_at > $1 \
    and expires_at <= $2 and revoked_at is null and enabled and id > $3 order by id limit $4";

macro_rules! due {
    ($from:literal) => {
        concat!(
            "select ",
            secret_columns!(),
            ", k.body as key_body, k.tag as key_tag, k.tag_version as key_tag_version, \
             n.body as keyspace_body, w.due_at as noticed_due_at, w.rotate_at from ",
            $from,
            " join key_secret s on s.key_id = k.id and s.ends_at is null \
             left join key_rotation w on w.key_id = k.id and w.secret_id = s.id \
             where k.id > $2 and k.app_id <> '' and k.enabled and k.revoked_at is null \
             and (k.expires_at is null or k.expires_at > $1) \
             and (w.rotate_at is null or w.rotate_at <= $1) "
        )
    };
}

// A key's own policy, or its keyspace's. Nobody could collect the token of a key without an app.
const ROTATION_DUE: &str = concat!(
    "select * from (",
    due!("key k join keyspace n on n.id = k.keyspace_id"),
    "and k.notice_after_ms is not null and s.created_at + k.notice_after_ms <= $1 union all ",
    due!("keyspace n join key k on k.keyspace_id = n.id"),
    "and k.notice_after_ms is null and n.notice_after_ms is not null \
     and s.created_at + n.notice_after_ms <= $1) d order by key_id limit $3"
);

/// Which keys expire: after `since`, at `until` or before. In id order, after `after`.
#[derive(Clone, Copy, Debug)]
pub struct ExpiringQuery {
    pub since: Timestamp,
    pub until: Timestamp,
    pub after: Option<KeyId>,
    pub limit: u32,
}

/// A key whose renewal is to be announced, or is due.
#[derive(Clone, Debug)]
pub struct RotationDue {
    pub key: Tagged<Key>,
    /// The current one.
    pub secret: Tagged<KeySecret>,
    /// The key's own or its keyspace's.
    pub policy: RotationPolicy,
    pub due_at: Timestamp,
    /// That it was announced, for this secret.
    pub notice: Option<RotationNotice>,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    secret: key_secrets::Row,
    key_body: String,
    key_tag: Vec<u8>,
    key_tag_version: i32,
    keyspace_body: String,
    noticed_due_at: Option<i64>,
    rotate_at: Option<i64>,
}

impl Row {
    /// None when the policy went away between the column and the body, which no change does.
    fn read(self) -> Result<Option<RotationDue>> {
        let key =
            TaggedRow { body: self.key_body, tag: self.key_tag, tag_version: self.key_tag_version };
        let key: Tagged<Key> = key.read()?;
        let secret: Tagged<KeySecret> = self.secret.try_into()?;
        let keyspace: model::key::Keyspace = crate::rows::json(&self.keyspace_body)?;
        let noticed = self.noticed_due_at.zip(self.rotate_at);
        let notice = noticed.map(|(due_at, rotate_at)| RotationNotice {
            key_id: key.value.id,
            secret_id: secret.value.id,
            due_at: Timestamp(due_at),
            rotate_at: Timestamp(rotate_at),
        });
        let due = |policy: RotationPolicy| {
            let due_at = secret.value.created_at.plus_ms(policy.interval_ms);
            RotationDue { key: key.clone(), secret: secret.clone(), policy, due_at, notice }
        };
        Ok(key.value.rotation.or(keyspace.rotation).map(due))
    }
}

impl Store {
    /// Living keys that expire by their date; [`MAX_DUE`] at the most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys_expiring(&self, query: &ExpiringQuery) -> Result<Vec<Tagged<Key>>> {
        let after = query.after.as_ref().map_or("", KeyId::as_str);
        let rows: Vec<TaggedRow> = on!(self.db().reader(), c => sqlx::query_as(EXPIRING)
            .bind(query.since.0).bind(query.until.0).bind(after)
            .bind(i64::from(query.limit.min(MAX_DUE)))
            .fetch_all(c).await)?;
        rows.into_iter().map(TaggedRow::read).collect()
    }

    /// Living keys of apps whose renewal is to be announced at `now`, or was announced and is
    /// due, in id order after `after`; [`MAX_DUE`] at the most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys_rotation_due(
        &self,
        now: Timestamp,
        after: Option<KeyId>,
        limit: u32,
    ) -> Result<Vec<RotationDue>> {
        let after = after.as_ref().map_or("", KeyId::as_str);
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(ROTATION_DUE)
            .bind(now.0).bind(after).bind(i64::from(limit.min(MAX_DUE)))
            .fetch_all(c).await)?;
        rows.into_iter().filter_map(|row| row.read().transpose()).collect()
    }
}
