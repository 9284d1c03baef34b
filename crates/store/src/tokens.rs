//! Access tokens to Doorbell itself, by their keyed hash.

use model::token::Token;
use model::{Timestamp, TokenId};

use crate::db::on;
use crate::{Result, Store, StoreError, rows};

const INSERT: &str = "insert into token (id, name, hash, created_at) values ($1, $2, $3, $4)";
const BY_HASH: &str = "select id, name, created_at from token where hash = $1";
const COUNT: &str = "select count(*) from token";

impl Store {
    /// False when this very token exists already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_token(&self, name: &str, hash: &[u8]) -> Result<bool> {
        let id = TokenId::new(self.now(), self.entropy());
        let mut tx = self.db().begin().await?;
        let done = on!(&mut tx, c => sqlx::query(INSERT)
            .bind(id.as_str()).bind(name).bind(hash).bind(self.now().0)
            .execute(&mut **c).await.map(drop))
        .map_err(StoreError::from);
        match done {
            Err(error) if error.is_unique_violation() => return Ok(false),
            done => done?,
        }
        tx.commit().await?;
        Ok(true)
    }

    /// # Errors
    /// When the database fails.
    pub async fn token_by_hash(&self, hash: &[u8]) -> Result<Option<Token>> {
        let row: Option<(String, String, i64)> = on!(self.db().reader(), c => {
            sqlx::query_as(BY_HASH).bind(hash).fetch_optional(c).await
        })?;
        let token = |(id, name, created_at): (String, String, i64)| {
            Ok(Token { id: rows::id(&id)?, name, created_at: Timestamp(created_at) })
        };
        row.map(token).transpose()
    }

    /// # Errors
    /// When the database fails.
    pub async fn has_tokens(&self) -> Result<bool> {
        let n: i64 = on!(self.db().reader(), c => sqlx::query_scalar(COUNT).fetch_one(c).await)?;
        Ok(n > 0)
    }
}
