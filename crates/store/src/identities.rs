//! Whom an identity provider means: a subject of an issuer is one user of ours, for good. An
//! address for mail says nothing here; whoever links by it has decided so before.

use model::access::User;
use model::audit::{Actor, Change};
use model::{Timestamp, UserId};
use serde_json::json;

use crate::db::{Tx, on};
use crate::{Result, Store, StoreError, audit};

/// Returns of logins that are over, which a new one sweeps away.
const MAX_SWEPT: i64 = 100;

const FIND: &str = "select user_id from user_identity where issuer = $1 and subject = $2";
const INSERT: &str = "insert into user_identity (issuer, subject, user_id, created_at) \
    values ($1, $2, $3, $4)";
const RETURNED: &str = "insert into login_return (state, expires_at) values ($1, $2)";
const SWEEP: &str = "delete from login_return where state in \
    (select state from login_return where expires_at <= $1 limit $2)";

/// Somebody as a provider names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub issuer: String,
    /// The provider's own id of the person: never given to another.
    pub subject: String,
}

impl Store {
    /// The user that a provider means.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_by_identity(&self, identity: &Identity) -> Result<Option<User>> {
        let id: Option<String> = on!(self.db().reader(), c => sqlx::query_scalar(FIND)
            .bind(&identity.issuer).bind(&identity.subject).fetch_optional(c).await)?;
        let Some(id) = id else { return Ok(None) };
        self.user(crate::rows::id(&id)?).await
    }

    /// From now on the provider means this user. False when it means somebody already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn link_identity(
        &self,
        identity: &Identity,
        user: UserId,
        by: &Actor,
    ) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        if !self.link_through(&mut tx, identity, user, by).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// A new user, whom the provider means; the hash is of a password that nobody knows. False
    /// when the address or the identity is somebody's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_user_of(
        &self,
        identity: &Identity,
        user: &User,
        password_hash: &str,
        by: &Actor,
    ) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let is_new = self.insert_user_through(&mut tx, user, password_hash, by).await?
            && self.link_through(&mut tx, identity, user.id, by).await?;
        if is_new {
            tx.commit().await?;
        }
        Ok(is_new)
    }

    async fn link_through(
        &self,
        tx: &mut Tx,
        identity: &Identity,
        user: UserId,
        by: &Actor,
    ) -> Result<bool> {
        let done = on!(&mut *tx, c => sqlx::query(INSERT)
            .bind(&identity.issuer).bind(&identity.subject)
            .bind(user.as_str()).bind(self.now().0)
            .execute(&mut **c).await.map(drop))
        .map_err(StoreError::from);
        match done {
            Err(error) if error.is_unique_violation() => return Ok(false),
            done => done?,
        }
        let change = Change {
            action: "user.link_identity",
            target: user.to_string(),
            app_id: None,
            before: None,
            after: Some(json!({ "issuer": identity.issuer, "subject": identity.subject })),
        };
        audit::append(self, tx, by, change).await?;
        Ok(true)
    }

    /// Notes that a login came back; false when it did before. It is remembered until it could
    /// not come back any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn login_returned(&self, state: &str, expires_at: Timestamp) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(SWEEP)
            .bind(self.now().0).bind(MAX_SWEPT).execute(&mut **c).await.map(drop))?;
        let done = on!(&mut tx, c => sqlx::query(RETURNED)
            .bind(state).bind(expires_at.0).execute(&mut **c).await.map(drop))
        .map_err(StoreError::from);
        match done {
            Err(error) if error.is_unique_violation() => return Ok(false),
            done => done?,
        }
        tx.commit().await?;
        Ok(true)
    }
}
