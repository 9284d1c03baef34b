//! Answers to requests that carried an `Idempotency-Key`, so that a repeated request gets the
//! first one's answer. Publishing does not come here: a message carries its key itself. Ids of
//! received webhooks are remembered here too: for them nothing is answered but that they came.

use model::Timestamp;
use sqlx::FromRow;

use crate::db::on;
use crate::{Result, Store, StoreError};

/// How long an answer is kept.
pub const ANSWER_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long a request may take; after that its key is free again.
const IN_PROGRESS_MS: u64 = 60_000;
const DELETE_STEP: i64 = 1_000;

const DELETE_EXPIRED_KEY: &str = "delete from answer where key = $1 and expires_at <= $2";
const INSERT: &str = "insert into answer (key, fingerprint, expires_at) values ($1, $2, $3)";
const REMEMBER: &str = "insert into answer (key, fingerprint, expires_at) values ($1, '', $2) \
    on conflict (key) do update set expires_at = excluded.expires_at \
    where answer.expires_at <= $3";
const FIND: &str = "select fingerprint, status, sealed from answer where key = $1";
const FINISH: &str = "update answer set status = $2, sealed = $3, expires_at = $4 where key = $1";
const DELETE: &str = "delete from answer where key = $1";
const DELETE_EXPIRED: &str = "delete from answer where key in \
    (select key from answer where expires_at <= $1 limit $2)";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerState {
    /// Nothing: the request may go on, and owes [`Store::finish_answer`].
    New,
    InProgress,
    /// The key came with another request before.
    Mismatch,
    Done(Answer),
}

#[derive(FromRow)]
struct Row {
    fingerprint: String,
    status: Option<i32>,
    sealed: Option<Vec<u8>>,
}

pub(crate) fn context(key: &str) -> String {
    format!("answer/{key}")
}

impl Store {
    /// Takes the key for a request, or tells what is known of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_answer(&self, key: &str, fingerprint: &str) -> Result<AnswerState> {
        let now = self.now();
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(DELETE_EXPIRED_KEY)
            .bind(key).bind(now.0).execute(&mut **c).await.map(drop))?;
        let inserted = on!(&mut tx, c => sqlx::query(INSERT)
            .bind(key).bind(fingerprint).bind(now.plus_ms(IN_PROGRESS_MS).0)
            .execute(&mut **c).await.map(drop))
        .map_err(StoreError::from);
        match inserted {
            Ok(()) => {
                tx.commit().await?;
                return Ok(AnswerState::New);
            }
            Err(error) if error.is_unique_violation() => drop(tx),
            Err(error) => return Err(error),
        }
        let row: Option<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(FIND).bind(key).fetch_optional(c).await
        })?;
        let Some(row) = row else { return Ok(AnswerState::InProgress) };
        if row.fingerprint != fingerprint {
            return Ok(AnswerState::Mismatch);
        }
        let (Some(status), Some(sealed)) = (row.status, row.sealed) else {
            return Ok(AnswerState::InProgress);
        };
        let body = self.0.vault.open(&context(key), &sealed)?;
        let status = u16::try_from(status).unwrap_or(200);
        Ok(AnswerState::Done(Answer { status, body }))
    }

    /// # Errors
    /// When the database fails.
    pub async fn finish_answer(&self, key: &str, answer: &Answer) -> Result<()> {
        let sealed = self.0.vault.seal(&context(key), &answer.body)?;
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(FINISH)
            .bind(key).bind(i32::from(answer.status)).bind(sealed)
            .bind(self.now().plus_ms(ANSWER_KEPT_MS).0)
            .execute(&mut **c).await.map(drop))?;
        tx.commit().await
    }

    /// Frees the key: the request changed nothing and may be sent again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_answer(&self, key: &str) -> Result<()> {
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(DELETE).bind(key).execute(&mut **c).await.map(drop))?;
        tx.commit().await
    }

    /// Remembers until `until` that this key came. False when it came before and is remembered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember(&self, key: &str, until: Timestamp) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let remembered = on!(&mut tx, c => sqlx::query(REMEMBER)
            .bind(key).bind(until.0).bind(self.now().0)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(remembered > 0)
    }

    /// Deletes some answers that are too old; false when none was left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired_answers(&self) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let deleted = on!(&mut tx, c => sqlx::query(DELETE_EXPIRED)
            .bind(self.now().0).bind(DELETE_STEP)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(deleted > 0)
    }
}
