//! Users of Doorbell itself. The hash of a password is sealed and leaves this file only to be
//! compared.

use model::access::{Role, User};
use model::audit::{Actor, Change};
use model::{Timestamp, UserId};
use serde_json::Value;
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, audit, rows};

macro_rules! columns {
    () => {
        "id, email, name, role, enabled, created_at, updated_at"
    };
}

const FIND: &str = concat!("select ", columns!(), " from \"user\" where id = $1");
const FIND_PASSWORD: &str =
    concat!("select password, ", columns!(), " from \"user\" where email = $1");
const PASSWORD: &str = "select password from \"user\" where id = $1";
const LIST_ASCENDING: &str =
    concat!("select ", columns!(), " from \"user\" where id > $1 and id < $2 order by id limit $3");
const LIST_DESCENDING: &str = concat!(
    "select ",
    columns!(),
    " from \"user\" where id > $1 and id < $2 order by id desc limit $3"
);
const INSERT: &str = concat!(
    "insert into \"user\" (",
    columns!(),
    ", password) values ($1, $2, $3, $4, $5, $6, $7, $8)"
);
const UPDATE: &str = "update \"user\" set email = $2, name = $3, role = $4, enabled = $5, \
    updated_at = $6 where id = $1";
const SET_PASSWORD: &str = "update \"user\" set password = $2, updated_at = $3 where id = $1";
const DELETE: &str = "delete from \"user\" where id = $1";
const DELETE_MEMBERS: &str = "delete from member where user_id = $1";
const DELETE_IDENTITIES: &str = "delete from user_identity where user_id = $1";
const DELETE_SESSIONS: &str = "delete from session where user_id = $1";
const END_SESSIONS: &str =
    "update session set revoked_at = $2 where user_id = $1 and revoked_at is null";

#[derive(FromRow)]
pub(crate) struct Row {
    id: String,
    email: String,
    name: String,
    role: Option<String>,
    enabled: bool,
    created_at: i64,
    updated_at: i64,
}

#[derive(FromRow)]
struct PasswordRow {
    password: Vec<u8>,
    #[sqlx(flatten)]
    user: Row,
}

impl TryFrom<Row> for User {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: rows::id(&row.id)?,
            email: row.email,
            name: row.name,
            role: row.role.as_deref().map(role).transpose()?,
            enabled: row.enabled,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }
}

pub(crate) fn role(text: &str) -> Result<Role> {
    text.parse().map_err(|error| rows::corrupt("role", error))
}

/// What became of a change of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserChange {
    Done,
    NotFound,
    EmailTaken,
}

/// Where a sealed password hash belongs.
fn context(user: UserId) -> String {
    password_context(user.as_str())
}

pub(crate) fn password_context(user: &str) -> String {
    format!("user/{user}")
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn user(&self, id: UserId) -> Result<Option<User>> {
        let row: Option<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(FIND).bind(id.as_str()).fetch_optional(c).await
        })?;
        row.map(User::try_from).transpose()
    }

    /// The user with this address, and the hash of their password.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<(User, String)>> {
        let row: Option<PasswordRow> = on!(self.db().reader(), c => {
            sqlx::query_as(FIND_PASSWORD).bind(email).fetch_optional(c).await
        })?;
        let Some(PasswordRow { password, user }) = row else { return Ok(None) };
        let user = User::try_from(user)?;
        let hash = self.open_password(user.id, &password)?;
        Ok(Some((user, hash)))
    }

    /// The hash of a user's password.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn password_of(&self, id: UserId) -> Result<Option<String>> {
        let sealed: Option<Vec<u8>> = on!(self.db().reader(), c => {
            sqlx::query_scalar(PASSWORD).bind(id.as_str()).fetch_optional(c).await
        })?;
        sealed.map(|sealed| self.open_password(id, &sealed)).transpose()
    }

    /// # Errors
    /// When the database fails.
    pub async fn users(&self, query: &PageQuery) -> Result<Page<User>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let found: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(&keyset.above).bind(&keyset.below).bind(keyset.fetch())
            .fetch_all(c).await)?;
        let users = found.into_iter().map(User::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(users, |user| user.id.to_string()))
    }

    /// False when the address is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_user(&self, user: &User, password_hash: &str, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        if !self.insert_user_through(&mut tx, user, password_hash, by).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    pub(crate) async fn insert_user_through(
        &self,
        tx: &mut Tx,
        user: &User,
        password_hash: &str,
        by: &Actor,
    ) -> Result<bool> {
        let sealed = self.seal_password(user.id, password_hash)?;
        let done = on!(&mut *tx, c => sqlx::query(INSERT)
            .bind(user.id.as_str()).bind(&user.email).bind(&user.name)
            .bind(user.role.map(Role::as_str)).bind(user.enabled)
            .bind(user.created_at.0).bind(user.updated_at.0).bind(sealed)
            .execute(&mut **c).await.map(drop))
        .map_err(StoreError::from);
        match done {
            Err(error) if error.is_unique_violation() => return Ok(false),
            done => done?,
        }
        audit::append(self, tx, by, change("user.create", None, Some(user))?).await?;
        Ok(true)
    }

    /// Changes all but the password. A user that is disabled loses every session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_user(&self, user: &User, by: &Actor) -> Result<UserChange> {
        let mut tx = self.db().begin().await?;
        let Some(before) = find(&mut tx, user.id).await? else { return Ok(UserChange::NotFound) };
        let done = on!(&mut tx, c => sqlx::query(UPDATE)
            .bind(user.id.as_str()).bind(&user.email).bind(&user.name)
            .bind(user.role.map(Role::as_str)).bind(user.enabled)
            .bind(user.updated_at.0)
            .execute(&mut **c).await.map(drop))
        .map_err(StoreError::from);
        match done {
            Err(error) if error.is_unique_violation() => return Ok(UserChange::EmailTaken),
            done => done?,
        }
        if !user.enabled {
            end_sessions(&mut tx, user.id, self.now()).await?;
        }
        let change = change("user.update", Some(&before), Some(user))?;
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(UserChange::Done)
    }

    /// Puts another password in place and ends every session. False when there is no such user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_password(&self, id: UserId, password_hash: &str, by: &Actor) -> Result<bool> {
        let sealed = self.seal_password(id, password_hash)?;
        let now = self.now();
        let mut tx = self.db().begin().await?;
        let changed = on!(&mut tx, c => sqlx::query(SET_PASSWORD)
            .bind(id.as_str()).bind(sealed).bind(now.0)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if changed == 0 {
            return Ok(false);
        }
        end_sessions(&mut tx, id, now).await?;
        let change = Change {
            action: "user.set_password",
            target: id.to_string(),
            app_id: None,
            before: None,
            after: None,
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Deletes a user with their memberships and sessions. False when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_user(&self, id: UserId, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let Some(before) = find(&mut tx, id).await? else { return Ok(false) };
        for sql in [DELETE_SESSIONS, DELETE_IDENTITIES, DELETE_MEMBERS, DELETE] {
            on!(&mut tx, c => {
                sqlx::query(sql).bind(id.as_str()).execute(&mut **c).await.map(drop)
            })?;
        }
        audit::append(self, &mut tx, by, change("user.delete", Some(&before), None)?).await?;
        tx.commit().await?;
        Ok(true)
    }

    fn seal_password(&self, user: UserId, hash: &str) -> Result<Vec<u8>> {
        Ok(self.0.vault.seal(&context(user), hash.as_bytes())?)
    }

    fn open_password(&self, user: UserId, sealed: &[u8]) -> Result<String> {
        let hash = self.0.vault.open(&context(user), sealed)?;
        String::from_utf8(hash).map_err(|error| rows::corrupt("password hash", error))
    }
}

async fn find(tx: &mut Tx, id: UserId) -> Result<Option<User>> {
    let row: Option<Row> = on!(tx, c => {
        sqlx::query_as(FIND).bind(id.as_str()).fetch_optional(&mut **c).await
    })?;
    row.map(User::try_from).transpose()
}

async fn end_sessions(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<()> {
    on!(tx, c => sqlx::query(END_SESSIONS)
        .bind(user.as_str()).bind(now.0).execute(&mut **c).await.map(drop))?;
    Ok(())
}

fn change(action: &'static str, before: Option<&User>, after: Option<&User>) -> Result<Change> {
    let json =
        |user: &User| serde_json::to_value(user).map_err(|error| rows::corrupt("user", error));
    let target = before.or(after).map(|user| user.id.to_string()).unwrap_or_default();
    let (before, after): (Option<Value>, Option<Value>) =
        (before.map(json).transpose()?, after.map(json).transpose()?);
    Ok(Change { action, target, app_id: None, before, after })
}
