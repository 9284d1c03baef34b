//! What the schedule of keys remembers between two looks, and what it looks at besides
//! `key_due`: secrets that are used although their successor is there.

use model::key::{Key, Tagged};
use model::{KeyId, KeySecretId, Timestamp};
use sqlx::FromRow;

use crate::db::on;
use crate::key_rows::TaggedRow;
use crate::{Result, Store, rows};

/// Secrets of one answer, at the most.
pub const MAX_IN_GRACE: u32 = 1_000;

/// The mark of the reminders.
const REMINDED: &str = "reminded";
const MARK: &str = "select at from key_mark where name = $1";
const MOVE_MARK: &str = "insert into key_mark (name, at) values ($1, $2) \
    on conflict (name) do update set at = excluded.at where key_mark.at < excluded.at";
// What was announced first is kept.
const NOTE: &str = "insert into key_rotation (key_id, secret_id, due_at, rotate_at) \
    values ($1, $2, $3, $4) on conflict (key_id) do update set secret_id = excluded.secret_id, \
    due_at = excluded.due_at, rotate_at = excluded.rotate_at \
    where key_rotation.secret_id <> excluded.secret_id or key_rotation.due_at <> excluded.due_at";
const USED_IN_GRACE: &str = "select s.id, s.ends_at, s.last_used_at, \
    c.created_at as superseded_at, k.body, k.tag, k.tag_version from key_secret s \
    join key_secret c on c.key_id = s.key_id and c.ends_at is null \
    join key k on k.id = s.key_id \
    where s.ends_at > $1 and s.last_used_at > c.created_at and s.id > $2 \
    and k.enabled and k.revoked_at is null and (k.expires_at is null or k.expires_at > $1) \
    order by s.id limit $3";

/// That the renewal of a secret is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationNotice {
    pub key_id: KeyId,
    pub secret_id: KeySecretId,
    /// By the policy.
    pub due_at: Timestamp,
    /// When it is done: not before those who were told had the time they were promised.
    pub rotate_at: Timestamp,
}

/// A secret in grace that was used since its successor is there.
#[derive(Clone, Debug)]
pub struct UsedInGrace {
    pub key: Tagged<Key>,
    pub secret_id: KeySecretId,
    pub superseded_at: Timestamp,
    pub ends_at: Timestamp,
    pub last_used_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    id: String,
    ends_at: i64,
    last_used_at: i64,
    superseded_at: i64,
    #[sqlx(flatten)]
    key: TaggedRow,
}

impl TryFrom<Row> for UsedInGrace {
    type Error = crate::StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            secret_id: rows::id(&row.id)?,
            superseded_at: Timestamp(row.superseded_at),
            ends_at: Timestamp(row.ends_at),
            last_used_at: Timestamp(row.last_used_at),
            key: row.key.read()?,
        })
    }
}

impl Store {
    /// Up to when all reminders were published; none: no node has ever looked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reminded_until(&self) -> Result<Option<Timestamp>> {
        let at: Option<i64> = on!(self.db().reader(), c => {
            sqlx::query_scalar(MARK).bind(REMINDED).fetch_optional(c).await
        })?;
        Ok(rows::moment(at))
    }

    /// It never goes back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_reminded_until(&self, at: Timestamp) -> Result<()> {
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(MOVE_MARK)
            .bind(REMINDED).bind(at.0).execute(&mut **c).await.map(drop))?;
        tx.commit().await
    }

    /// Notes what was announced. A renewal that was announced before keeps its moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_rotations(&self, notices: &[RotationNotice]) -> Result<()> {
        let mut tx = self.db().begin().await?;
        for notice in notices {
            on!(&mut tx, c => sqlx::query(NOTE)
                .bind(notice.key_id.as_str()).bind(notice.secret_id.as_str())
                .bind(notice.due_at.0).bind(notice.rotate_at.0)
                .execute(&mut **c).await.map(drop))?;
        }
        tx.commit().await
    }

    /// As far as uses are settled; in id order, after `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn secrets_used_in_grace(
        &self,
        after: Option<KeySecretId>,
        limit: u32,
    ) -> Result<Vec<UsedInGrace>> {
        let after = after.as_ref().map_or("", KeySecretId::as_str);
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(USED_IN_GRACE)
            .bind(self.now().0).bind(after).bind(i64::from(limit.min(MAX_IN_GRACE)))
            .fetch_all(c).await)?;
        rows.into_iter().map(UsedInGrace::try_from).collect()
    }
}
