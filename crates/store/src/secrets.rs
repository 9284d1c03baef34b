//! Signing secrets of endpoints, sealed at rest. The current one has no end; a rotated one
//! signs beside it until its grace is over.
//!
//! Every change goes through the app's row (`apps::touch`): rotations of one app's endpoints wait
//! for each other, whether somebody asked for them or a policy did, and there is always exactly
//! one current secret. Each leaves a line in the [`history`] that outlives the secret.

mod checks;
pub(crate) mod history;
mod living;
mod policies;

use model::audit::{Actor, Change};
use model::secret::SecretReason;
use model::signature::Secret;
use model::{AppId, EndpointId, Timestamp};
use serde_json::json;
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::{Result, Store, apps, audit, rows};

pub use checks::SecretCheck;
pub use history::{MAX_HISTORY, PublicKey, SecretRecord};
pub use policies::{PolicyOf, Rotations};

/// Old secrets of one endpoint that may still be in grace.
pub const MAX_OLD_SECRETS: usize = 10;

const LIVE: &str = "select endpoint_id, created_at, sealed, expires_at from secret \
    where endpoint_id = $1 and (expires_at is null or expires_at > $2) order by created_at desc";
pub(crate) const LIVE_OF_APP: &str = "select endpoint_id, created_at, sealed, expires_at \
    from secret where endpoint_id in (select id from endpoint where app_id = $1) \
    and (expires_at is null or expires_at > $2) order by endpoint_id, created_at desc";
const NEWEST_IN_APP: &str = "select max(created_at) from secret where endpoint_id = $1 \
    and exists (select 1 from endpoint where id = $1 and app_id = $2)";
const INSERT: &str = "insert into secret (endpoint_id, created_at, sealed, expires_at) \
    values ($1, $2, $3, null)";
const EXPIRE_CURRENT: &str = "update secret set expires_at = $2 \
    where endpoint_id = $1 and expires_at is null";
const DELETE_ENDED: &str = "delete from secret where endpoint_id = $1 and expires_at <= $2";
macro_rules! oldest {
    () => {
        "endpoint_id = $1 and created_at in (select created_at from secret where endpoint_id = $1 \
         and expires_at is not null order by created_at desc limit 1000 offset $2)"
    };
}
const END_OLDEST: &str =
    concat!("update secret_history set ends_at = $3 where ends_at > $3 and ", oldest!());
const DELETE_OLDEST: &str = concat!("delete from secret where ", oldest!());
const REVOKE: &str = "delete from secret where endpoint_id = $1 and expires_at > $2 \
    and ($3 = '' or created_at in (select created_at from secret_history \
    where endpoint_id = $1 and fingerprint = $3))";
const DELETE_ALL: &str = "delete from secret where endpoint_id = $1";

#[derive(FromRow)]
pub(crate) struct Row {
    pub endpoint_id: String,
    pub created_at: i64,
    pub sealed: Vec<u8>,
    pub expires_at: Option<i64>,
}

/// A secret that is to take the place of the current one.
struct Replacement<'a> {
    secret: &'a Secret,
    grace_ms: u64,
    reason: SecretReason,
    /// The moment of the one to replace; none: whichever it is.
    instead_of: Option<Timestamp>,
}

/// Where a sealed secret belongs.
pub(crate) fn context(endpoint: &str, created_at: i64) -> String {
    format!("secret/{endpoint}/{created_at}")
}

impl Store {
    pub(crate) fn secret_of(&self, row: &Row) -> Result<Secret> {
        let plain = self.0.vault.open(&context(&row.endpoint_id, row.created_at), &row.sealed)?;
        let text = String::from_utf8(plain).map_err(|error| rows::corrupt("secret", error))?;
        Secret::parse(&text).map_err(|error| rows::corrupt("secret", error))
    }

    /// The secret that an endpoint signs with now.
    ///
    /// # Errors
    /// When the database fails or the secret does not open.
    pub async fn current_secret(&self, endpoint: EndpointId) -> Result<Option<Secret>> {
        let current = self.current_row(endpoint).await?;
        current.map(|row| self.secret_of(&row)).transpose()
    }

    async fn current_row(&self, endpoint: EndpointId) -> Result<Option<Row>> {
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(LIVE)
            .bind(endpoint.as_str()).bind(self.now().0).fetch_all(c).await)?;
        Ok(rows.into_iter().find(|row| row.expires_at.is_none()))
    }

    /// Puts a new secret in place; the one before signs on for `grace_ms`. False when the app has
    /// no such endpoint.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rotate_secret(
        &self,
        app: AppId,
        endpoint: EndpointId,
        secret: &Secret,
        grace_ms: u64,
        by: &Actor,
    ) -> Result<bool> {
        let reason = SecretReason::Rotated;
        let wish = Replacement { secret, grace_ms, reason, instead_of: None };
        let rotated = self.replace_secret(app, endpoint, wish, by).await?;
        if rotated {
            self.try_announce_rotations().await;
        }
        Ok(rotated)
    }

    /// False when the app has no such endpoint, or its secret is another one by now.
    async fn replace_secret(
        &self,
        app: AppId,
        endpoint: EndpointId,
        wish: Replacement<'_>,
        by: &Actor,
    ) -> Result<bool> {
        let now = self.now();
        let ends = now.plus_ms(wish.grace_ms);
        let mut tx = self.db().begin().await?;
        // Also makes rotations of one app wait for each other: there is one current secret.
        apps::touch(&mut tx, app).await?;
        let newest: Option<i64> = on!(&mut tx, c => sqlx::query_scalar(NEWEST_IN_APP)
            .bind(endpoint.as_str()).bind(app.as_str()).fetch_one(&mut **c).await)?;
        let Some(newest) = newest.map(Timestamp) else { return Ok(false) };
        if wish.instead_of.is_some_and(|expected| expected != newest) {
            return Ok(false);
        }
        make_room(&mut tx, endpoint, now, ends).await?;
        // The moment is part of the key.
        let created_at = now.max(newest.plus_ms(1));
        let origin = Origin { app, endpoint, created_at, reason: wish.reason, by };
        insert(self, &mut tx, &origin, wish.secret).await?;
        let change = Change {
            action: "endpoint.rotate_secret",
            target: endpoint.to_string(),
            app_id: Some(app),
            before: None,
            after: Some(json!({
                "createdAt": created_at.0,
                "earlierEndsAt": ends.0,
                "fingerprint": wish.secret.fingerprint(),
                "reason": wish.reason,
            })),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends the grace of old secrets at once: of all, or of the one with this fingerprint.
    /// Answers how many; the current secret is never among them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_old_secrets(
        &self,
        app: AppId,
        endpoint: EndpointId,
        fingerprint: Option<&str>,
        by: &Actor,
    ) -> Result<u64> {
        let now = self.now();
        let fingerprint = fingerprint.unwrap_or_default();
        let mut tx = self.db().begin().await?;
        apps::touch(&mut tx, app).await?;
        let revoked = on!(&mut tx, c => sqlx::query(REVOKE)
            .bind(endpoint.as_str()).bind(now.0).bind(fingerprint)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if revoked == 0 {
            return Ok(0);
        }
        let ended = history::revoke(&mut tx, endpoint, fingerprint, now, by).await?;
        let change = Change {
            action: "endpoint.revoke_secret",
            target: endpoint.to_string(),
            app_id: Some(app),
            before: None,
            after: Some(json!({ "fingerprints": ended, "endedAt": now.0 })),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(revoked)
    }
}

/// Gives the current secret its end, and deletes what has ended or is too much.
async fn make_room(
    tx: &mut Tx,
    endpoint: EndpointId,
    now: Timestamp,
    ends: Timestamp,
) -> Result<()> {
    let kept = i64::try_from(MAX_OLD_SECRETS).unwrap_or(i64::MAX);
    for (sql, value) in
        [(EXPIRE_CURRENT, ends.0), (history::END_CURRENT, ends.0), (DELETE_ENDED, now.0)]
    {
        on!(&mut *tx, c => sqlx::query(sql)
            .bind(endpoint.as_str()).bind(value).execute(&mut **c).await.map(drop))?;
    }
    on!(&mut *tx, c => sqlx::query(END_OLDEST)
        .bind(endpoint.as_str()).bind(kept).bind(now.0).execute(&mut **c).await.map(drop))?;
    on!(&mut *tx, c => sqlx::query(DELETE_OLDEST)
        .bind(endpoint.as_str()).bind(kept).execute(&mut **c).await.map(drop))?;
    history::forget_oldest(tx, endpoint).await
}

/// Where a new secret comes from.
pub(crate) struct Origin<'a> {
    pub app: AppId,
    pub endpoint: EndpointId,
    pub created_at: Timestamp,
    pub reason: SecretReason,
    pub by: &'a Actor,
}

pub(crate) async fn insert(
    store: &Store,
    tx: &mut Tx,
    origin: &Origin<'_>,
    secret: &Secret,
) -> Result<()> {
    let text = secret.to_text();
    let (endpoint, created_at) = (origin.endpoint, origin.created_at);
    let sealed = store.0.vault.seal(&context(endpoint.as_str(), created_at.0), text.as_bytes())?;
    on!(&mut *tx, c => sqlx::query(INSERT)
        .bind(endpoint.as_str()).bind(created_at.0).bind(sealed)
        .execute(&mut **c).await.map(drop))?;
    history::insert(tx, origin, secret).await
}

/// With everything that is kept about them.
pub(crate) async fn delete_all(tx: &mut Tx, endpoint: EndpointId) -> Result<()> {
    for sql in [DELETE_ALL, history::DELETE, policies::DELETE, policies::DELETE_NOTICE] {
        on!(&mut *tx, c => sqlx::query(sql)
            .bind(endpoint.as_str()).execute(&mut **c).await.map(drop))?;
    }
    Ok(())
}

/// What an app that is deleted has of all this, but for the secrets themselves.
pub(crate) const DELETE_OF_APP: [&str; 3] =
    [history::DELETE_OF_APP, policies::DELETE_OF_APP, policies::DELETE_NOTICES_OF_APP];
