//! Sessions: of users, and of people in the portal of an app. A session's row is what decides
//! whether its tokens are good.

use model::access::{
    Holder, MAX_MEMBERSHIPS, MAX_SESSIONS_PER_USER, Portal, Role, SESSION_IDLE_MS, SESSION_MAX_MS,
    Session, User,
};
use model::audit::{Actor, Change};
use model::{AppId, SessionId, Timestamp, UserId};
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::{Result, Store, StoreError, audit, rows, users};

/// Ended sessions that a new one sweeps away.
const MAX_SWEPT: i64 = 100;
/// Labels of portal sessions in one call.
pub const MAX_LABELS: usize = 100;

macro_rules! columns {
    () => {
        "id, user_id, app_id, permissions, label, generation, created_at, expires_at, \
         revoked_at, address, user_agent"
    };
}

const FIND: &str = concat!("select ", columns!(), " from session where id = $1");
const MEMBERSHIPS: &str = "select app_id, role from member where user_id = $1 limit $2";
const INSERT: &str = concat!(
    "insert into session (",
    columns!(),
    ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
);
const SWEEP: &str = "delete from session where id in \
    (select id from session where expires_at <= $1 limit $2)";
const DROP_OLDEST: &str = "delete from session where id in \
    (select id from session where user_id = $1 order by id desc limit 1000 offset $2)";
const RENEW: &str = "update session set generation = generation + 1, expires_at = $3 \
    where id = $1 and generation = $2";
const END: &str = "update session set revoked_at = $2 \
    where id = $1 and (revoked_at is null or revoked_at > $2)";
const END_IN_APP: &str = "update session set revoked_at = $2 \
    where app_id = $1 and (revoked_at is null or revoked_at > $2)";
const END_LABEL_IN_APP: &str = "update session set revoked_at = $2 \
    where app_id = $1 and (revoked_at is null or revoked_at > $2) and label = $3";
const KNOWS_ADDRESS: &str = "select count(*) from session where user_id = $1 and address = $2";

#[derive(FromRow)]
struct Row {
    id: String,
    user_id: Option<String>,
    app_id: Option<String>,
    permissions: Option<String>,
    label: Option<String>,
    generation: i64,
    created_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
    address: Option<String>,
    user_agent: Option<String>,
}

impl TryFrom<Row> for Session {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let holder = match (&row.user_id, &row.app_id) {
            (Some(user), None) => Holder::User(rows::id(user)?),
            (None, Some(app)) => Holder::Portal(Portal {
                app_id: rows::id(app)?,
                permissions: rows::json(row.permissions.as_deref().unwrap_or("[]"))?,
                label: row.label,
            }),
            _ => return Err(rows::corrupt("session", "it is of nobody")),
        };
        Ok(Self {
            id: rows::id(&row.id)?,
            holder,
            generation: row.generation,
            created_at: Timestamp(row.created_at),
            expires_at: Timestamp(row.expires_at),
            revoked_at: rows::moment(row.revoked_at),
            address: row.address,
            user_agent: row.user_agent,
        })
    }
}

/// A session with everything that says what it may do now.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionFacts {
    pub session: Session,
    /// Whose it is, unless it is a portal's.
    pub user: Option<User>,
    /// The user's roles in apps.
    pub memberships: Vec<(AppId, Role)>,
}

/// What became of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    Done(Session),
    /// An earlier generation came back: somebody has a copy. The session is ended.
    Reused,
    /// There is no such session, or not any more.
    Gone,
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn session_facts(&self, id: SessionId) -> Result<Option<SessionFacts>> {
        let row: Option<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(FIND).bind(id.as_str()).fetch_optional(c).await
        })?;
        let Some(session) = row.map(Session::try_from).transpose()? else { return Ok(None) };
        let Holder::User(user_id) = session.holder else {
            return Ok(Some(SessionFacts { session, user: None, memberships: Vec::new() }));
        };
        let Some(user) = self.user(user_id).await? else { return Ok(None) };
        let memberships = self.memberships(user_id).await?;
        Ok(Some(SessionFacts { session, user: Some(user), memberships }))
    }

    /// The apps that a user is a member of.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memberships(&self, user: UserId) -> Result<Vec<(AppId, Role)>> {
        let found: Vec<(String, String)> = on!(self.db().reader(), c => {
            sqlx::query_as(MEMBERSHIPS)
                .bind(user.as_str()).bind(i64::from(MAX_MEMBERSHIPS)).fetch_all(c).await
        })?;
        let membership = |(app, role): (String, String)| Ok((rows::id(&app)?, users::role(&role)?));
        found.into_iter().map(membership).collect()
    }

    /// Begins a session, and sweeps away some that are over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_session(&self, session: &Session, by: &Actor) -> Result<()> {
        let (user, portal) = match &session.holder {
            Holder::User(user) => (Some(user), None),
            Holder::Portal(portal) => (None, Some(portal)),
        };
        let permissions = portal.map(|portal| rows::to_json(&portal.permissions)).transpose()?;
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(INSERT)
            .bind(session.id.as_str())
            .bind(user.map(UserId::as_str))
            .bind(portal.map(|portal| portal.app_id.as_str()))
            .bind(&permissions)
            .bind(portal.and_then(|portal| portal.label.as_deref()))
            .bind(session.generation)
            .bind(session.created_at.0).bind(session.expires_at.0)
            .bind(rows::ms(session.revoked_at))
            .bind(&session.address).bind(&session.user_agent)
            .execute(&mut **c).await.map(drop))?;
        on!(&mut tx, c => sqlx::query(SWEEP)
            .bind(self.now().0).bind(MAX_SWEPT).execute(&mut **c).await.map(drop))?;
        if let Some(user) = user {
            on!(&mut tx, c => sqlx::query(DROP_OLDEST)
                .bind(user.as_str()).bind(i64::from(MAX_SESSIONS_PER_USER))
                .execute(&mut **c).await.map(drop))?;
        }
        let change = Change {
            action: if portal.is_some() { "portal.open" } else { "session.begin" },
            target: session.id.to_string(),
            app_id: portal.map(|portal| portal.app_id),
            before: None,
            after: Some(serde_json::json!({ "expiresAt": session.expires_at.0 })),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await
    }

    /// Takes a refresh token: the session lives on with the next generation, and an earlier
    /// generation ends it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh_session(
        &self,
        id: SessionId,
        generation: i64,
        by: &Actor,
    ) -> Result<Refreshed> {
        let now = self.now();
        let mut tx = self.db().begin().await?;
        let Some(mut session) = find(&mut tx, id).await? else { return Ok(Refreshed::Gone) };
        if !session.is_alive(now) || generation > session.generation {
            return Ok(Refreshed::Gone);
        }
        let last = session.created_at.plus_ms(SESSION_MAX_MS);
        let expires_at = now.plus_ms(SESSION_IDLE_MS).min(last);
        // The condition decides between two who came at the same time.
        let renewed = on!(&mut tx, c => sqlx::query(RENEW)
            .bind(id.as_str()).bind(generation).bind(expires_at.0)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if renewed == 0 {
            end(&mut tx, id, now).await?;
            audit::append(self, &mut tx, by, ended("session.reuse_detected", &session)).await?;
            tx.commit().await?;
            return Ok(Refreshed::Reused);
        }
        tx.commit().await?;
        session.generation = generation + 1;
        session.expires_at = expires_at;
        Ok(Refreshed::Done(session))
    }

    /// Ends a session. False when there is none that lives.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_session(&self, id: SessionId, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let Some(session) = find(&mut tx, id).await? else { return Ok(false) };
        let now = self.now();
        if !session.is_alive(now) {
            return Ok(false);
        }
        end(&mut tx, id, now).await?;
        audit::append(self, &mut tx, by, ended("session.end", &session)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends the portal sessions of an app at a moment, or only those with these labels. Answers
    /// how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_portal_sessions(
        &self,
        app: AppId,
        labels: &[String],
        at: Timestamp,
        by: &Actor,
    ) -> Result<u64> {
        let mut tx = self.db().begin().await?;
        let mut ended = 0;
        if labels.is_empty() {
            ended += on!(&mut tx, c => sqlx::query(END_IN_APP)
                .bind(app.as_str()).bind(at.0)
                .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        }
        for label in labels.iter().take(MAX_LABELS) {
            ended += on!(&mut tx, c => sqlx::query(END_LABEL_IN_APP)
                .bind(app.as_str()).bind(at.0).bind(label)
                .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        }
        let change = Change {
            action: "portal.expire_all",
            target: app.to_string(),
            app_id: Some(app),
            before: None,
            after: Some(serde_json::json!({ "sessionIds": labels, "at": at.0, "ended": ended })),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Whether the user has had a session from this address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_knows_address(&self, user: UserId, address: &str) -> Result<bool> {
        let n: i64 = on!(self.db().reader(), c => sqlx::query_scalar(KNOWS_ADDRESS)
            .bind(user.as_str()).bind(address).fetch_one(c).await)?;
        Ok(n > 0)
    }
}

async fn find(tx: &mut Tx, id: SessionId) -> Result<Option<Session>> {
    let row: Option<Row> = on!(tx, c => {
        sqlx::query_as(FIND).bind(id.as_str()).fetch_optional(&mut **c).await
    })?;
    row.map(Session::try_from).transpose()
}

async fn end(tx: &mut Tx, id: SessionId, at: Timestamp) -> Result<()> {
    on!(tx, c => sqlx::query(END)
        .bind(id.as_str()).bind(at.0).execute(&mut **c).await.map(drop))?;
    Ok(())
}

fn ended(action: &'static str, session: &Session) -> Change {
    let app_id = match &session.holder {
        Holder::User(_) => None,
        Holder::Portal(portal) => Some(portal.app_id),
    };
    Change { action, target: session.id.to_string(), app_id, before: None, after: None }
}
