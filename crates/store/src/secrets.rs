//! Signing secrets of endpoints, sealed at rest. The current one has no end; a rotated one
//! signs beside it until its grace is over.

use model::audit::{Actor, Change};
use model::signature::Secret;
use model::{AppId, EndpointId, Timestamp};
use serde_json::json;
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::{Result, Store, apps, audit, rows};

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
const DELETE_OLDEST: &str = "delete from secret where endpoint_id = $1 and created_at in \
    (select created_at from secret where endpoint_id = $1 and expires_at is not null \
    order by created_at desc limit 1000 offset $2)";
const DELETE_ALL: &str = "delete from secret where endpoint_id = $1";

#[derive(FromRow)]
pub(crate) struct Row {
    pub endpoint_id: String,
    created_at: i64,
    sealed: Vec<u8>,
    pub expires_at: Option<i64>,
}

/// Where a sealed secret belongs.
fn context(endpoint: &str, created_at: i64) -> String {
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
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(LIVE)
            .bind(endpoint.as_str()).bind(self.now().0).fetch_all(c).await)?;
        let current = rows.iter().find(|row| row.expires_at.is_none());
        current.map(|row| self.secret_of(row)).transpose()
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
        let now = self.now();
        let ends = now.plus_ms(grace_ms);
        let kept = i64::try_from(MAX_OLD_SECRETS).unwrap_or(i64::MAX);
        let mut tx = self.db().begin().await?;
        // Also makes rotations of one app wait for each other: there is one current secret.
        apps::touch(&mut tx, app).await?;
        let newest: Option<i64> = on!(&mut tx, c => sqlx::query_scalar(NEWEST_IN_APP)
            .bind(endpoint.as_str()).bind(app.as_str()).fetch_one(&mut **c).await)?;
        let Some(newest) = newest else { return Ok(false) };
        for (sql, value) in [(EXPIRE_CURRENT, ends.0), (DELETE_ENDED, now.0), (DELETE_OLDEST, kept)]
        {
            on!(&mut tx, c => sqlx::query(sql)
                .bind(endpoint.as_str()).bind(value).execute(&mut **c).await.map(drop))?;
        }
        // The moment is part of the key.
        let created_at = now.max(Timestamp(newest).plus_ms(1));
        insert(self, &mut tx, endpoint, secret, created_at).await?;
        let change = Change {
            action: "endpoint.rotate_secret",
            target: endpoint.to_string(),
            app_id: Some(app),
            before: None,
            after: Some(json!({ "createdAt": created_at.0, "earlierEndsAt": ends.0 })),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(true)
    }
}

pub(crate) async fn insert(
    store: &Store,
    tx: &mut Tx,
    endpoint: EndpointId,
    secret: &Secret,
    created_at: Timestamp,
) -> Result<()> {
    let text = secret.to_text();
    let sealed = store.0.vault.seal(&context(endpoint.as_str(), created_at.0), text.as_bytes())?;
    on!(tx, c => sqlx::query(INSERT)
        .bind(endpoint.as_str()).bind(created_at.0).bind(sealed)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

pub(crate) async fn delete_all(tx: &mut Tx, endpoint: EndpointId) -> Result<()> {
    on!(tx, c => sqlx::query(DELETE_ALL)
        .bind(endpoint.as_str()).execute(&mut **c).await.map(drop))?;
    Ok(())
}
