//! Rotation by policy: an endpoint's own, or the instance's.
//!
//! Any node may look ([`Store::advance_rotations`]). What is coming is said first and noted then;
//! only a noted rotation is done. Of two nodes that renew the same secret, one finds at the app's
//! row that it is no longer the current one.

use model::audit::{Actor, Change};
use model::secret::{SecretKind, SecretPolicy, SecretReason};
use model::signature::Secret;
use model::{AppId, EndpointId, Timestamp};
use serde_json::{Value, json};
use sqlx::FromRow;

use super::Replacement;
use crate::db::on;
use crate::operations::event;
use crate::{Operation, Result, Store, apps, audit, rows};

/// Secrets dealt with in one look.
const MAX_DUE: i64 = 100;

const FIND: &str = "select every_days, grace_seconds, notice_days from secret_policy \
    where endpoint_id = $1 and app_id = $2";
const PUT: &str = "insert into secret_policy (endpoint_id, app_id, every_days, grace_seconds, \
    notice_days, updated_at) values ($1, $2, $3, $4, $5, $6) on conflict (endpoint_id) \
    do update set every_days = excluded.every_days, grace_seconds = excluded.grace_seconds, \
    notice_days = excluded.notice_days, updated_at = excluded.updated_at";
pub(super) const DELETE: &str = "delete from secret_policy where endpoint_id = $1";
pub(super) const DELETE_NOTICE: &str = "delete from secret_notice where endpoint_id = $1";
pub(super) const DELETE_OF_APP: &str = "delete from secret_policy where app_id = $1";
pub(super) const DELETE_NOTICES_OF_APP: &str = "delete from secret_notice where app_id = $1";
const EXISTS: &str = "select count(*) from endpoint where id = $1 and app_id = $2";

macro_rules! due {
    ($columns:literal, $from:literal, $when:literal) => {
        concat!(
            "select e.id, e.app_id, s.created_at, ",
            $columns,
            ", n.due_at as noticed_due_at, n.rotates_at from ",
            $from,
            " left join secret_notice n on n.endpoint_id = e.id \
             and n.secret_created_at = s.created_at where s.expires_at is null and ",
            $when,
            " and (n.rotates_at is null or n.rotates_at <= $1) order by s.created_at limit $2"
        )
    };
}
const DUE: &str = due!(
    "p.every_days, p.grace_seconds, p.notice_days",
    "secret_policy p join endpoint e on e.id = p.endpoint_id \
     join secret s on s.endpoint_id = p.endpoint_id",
    "p.every_days is not null and s.created_at <= \
     $1 - cast(p.every_days - p.notice_days as bigint) * 86400000"
);
/// Of endpoints that have no policy of their own; `$3` is the latest moment to be concerned.
const DUE_OF_INSTANCE: &str = due!(
    "cast(null as integer) as every_days, cast(0 as bigint) as grace_seconds, \
     cast(0 as integer) as notice_days",
    "secret s join endpoint e on e.id = s.endpoint_id",
    "s.created_at <= $3 and not exists \
     (select 1 from secret_policy p where p.endpoint_id = s.endpoint_id)"
);
const NOTE: &str = "insert into secret_notice (endpoint_id, app_id, secret_created_at, due_at, \
    rotates_at) values ($1, $2, $3, $4, $5) on conflict (endpoint_id) do update set \
    secret_created_at = excluded.secret_created_at, due_at = excluded.due_at, \
    rotates_at = excluded.rotates_at \
    where secret_notice.secret_created_at <> excluded.secret_created_at \
    or secret_notice.due_at <> excluded.due_at";
const ROTATES_AT: &str = "select n.rotates_at from secret_notice n where n.endpoint_id = $1 \
    and n.secret_created_at = $2 and n.due_at = $3";

/// By what an endpoint's secret is renewed, and when next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyOf {
    /// Its own, if it has one: none inside means never.
    pub own: Option<Option<SecretPolicy>>,
    /// What holds.
    pub policy: Option<SecretPolicy>,
    pub notice_at: Option<Timestamp>,
    pub rotates_at: Option<Timestamp>,
}

/// What one look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotations {
    pub announced: usize,
    pub rotated: usize,
}

#[derive(FromRow)]
struct PolicyRow {
    every_days: Option<i32>,
    grace_seconds: i64,
    notice_days: i32,
}

impl PolicyRow {
    fn read(&self) -> Option<SecretPolicy> {
        Some(SecretPolicy {
            every_days: rows::count(self.every_days?),
            grace_seconds: u64::try_from(self.grace_seconds).unwrap_or(0),
            notice_days: rows::count(self.notice_days),
        })
    }
}

#[derive(FromRow)]
struct DueRow {
    id: String,
    app_id: String,
    created_at: i64,
    #[sqlx(flatten)]
    policy: PolicyRow,
    noticed_due_at: Option<i64>,
    rotates_at: Option<i64>,
}

/// A secret that a policy concerns now.
struct Due {
    app: AppId,
    endpoint: EndpointId,
    created_at: Timestamp,
    policy: SecretPolicy,
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn secret_policy(&self, app: AppId, endpoint: EndpointId) -> Result<PolicyOf> {
        let row: Option<PolicyRow> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(endpoint.as_str()).bind(app.as_str()).fetch_optional(c).await)?;
        let own = row.map(|row| row.read());
        let policy = own.unwrap_or(self.0.secret_policy);
        let current = self.current_row(endpoint).await?;
        let (Some(policy), Some(current)) = (policy, current) else {
            return Ok(PolicyOf { own, policy, notice_at: None, rotates_at: None });
        };
        let created_at = Timestamp(current.created_at);
        let noted: Option<i64> = on!(self.db().reader(), c => sqlx::query_scalar(ROTATES_AT)
            .bind(endpoint.as_str()).bind(created_at.0).bind(policy.due_at(created_at).0)
            .fetch_optional(c).await)?;
        let planned = policy.rotates_at(created_at, self.now().min(policy.notice_at(created_at)));
        Ok(PolicyOf {
            own,
            policy: Some(policy),
            notice_at: Some(policy.notice_at(created_at)),
            rotates_at: Some(noted.map_or(planned, Timestamp)),
        })
    }

    /// Gives an endpoint a policy of its own; none: its secret is never renewed by itself. False
    /// when the app has no such endpoint.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_secret_policy(
        &self,
        app: AppId,
        endpoint: EndpointId,
        policy: Option<SecretPolicy>,
        by: &Actor,
    ) -> Result<bool> {
        let before = self.secret_policy(app, endpoint).await?;
        let mut tx = self.db().begin().await?;
        apps::touch(&mut tx, app).await?;
        let exists: i64 = on!(&mut tx, c => sqlx::query_scalar(EXISTS)
            .bind(endpoint.as_str()).bind(app.as_str()).fetch_one(&mut **c).await)?;
        if exists == 0 {
            return Ok(false);
        }
        let grace = policy.map_or(0, |policy| policy.grace_seconds);
        on!(&mut tx, c => sqlx::query(PUT)
            .bind(endpoint.as_str())
            .bind(app.as_str())
            .bind(policy.map(|policy| rows::small(policy.every_days)))
            .bind(i64::try_from(grace).unwrap_or(i64::MAX))
            .bind(rows::small(policy.map_or(0, |policy| policy.notice_days)))
            .bind(self.now().0)
            .execute(&mut **c).await.map(drop))?;
        let change = Change {
            action: "endpoint.set_secret_policy",
            target: endpoint.to_string(),
            app_id: Some(app),
            before: before.own.map(shown),
            after: Some(shown(policy)),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Leaves an endpoint to what the instance says. False when it was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_secret_policy(
        &self,
        app: AppId,
        endpoint: EndpointId,
        by: &Actor,
    ) -> Result<bool> {
        let before = self.secret_policy(app, endpoint).await?;
        let Some(own) = before.own else { return Ok(false) };
        let mut tx = self.db().begin().await?;
        apps::touch(&mut tx, app).await?;
        let deleted = on!(&mut tx, c => sqlx::query(DELETE)
            .bind(endpoint.as_str()).execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if deleted == 0 {
            return Ok(false);
        }
        let change = Change {
            action: "endpoint.delete_secret_policy",
            target: endpoint.to_string(),
            app_id: Some(app),
            before: Some(shown(own)),
            after: None,
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Announces the rotations that are coming and does those that are due. There may be more
    /// when something was done.
    ///
    /// # Errors
    /// When the database fails; the next look begins where it was.
    pub async fn advance_rotations(&self) -> Result<Rotations> {
        let mut done = Rotations::default();
        for row in self.due_rows().await? {
            let Some(policy) = row.policy.read().or(self.0.secret_policy) else { continue };
            let due = Due {
                app: rows::id(&row.app_id)?,
                endpoint: rows::id(&row.id)?,
                created_at: Timestamp(row.created_at),
                policy,
            };
            let is_noted = row.noticed_due_at == Some(policy.due_at(due.created_at).0);
            if !is_noted {
                done.announced += usize::from(self.announce_due(&due).await?);
            } else if row.rotates_at.is_some_and(|at| at <= self.now().0) {
                done.rotated += usize::from(self.rotate_by_policy(&due).await?);
            }
        }
        Ok(done)
    }

    async fn due_rows(&self) -> Result<Vec<DueRow>> {
        let now = self.now();
        let mut found: Vec<DueRow> = on!(self.db().reader(), c => {
            sqlx::query_as(DUE).bind(now.0).bind(MAX_DUE).fetch_all(c).await
        })?;
        let Some(policy) = self.0.secret_policy else { return Ok(found) };
        let latest = now.minus_ms(policy.every_ms() - policy.notice_ms());
        let more: Vec<DueRow> = on!(self.db().reader(), c => sqlx::query_as(DUE_OF_INSTANCE)
            .bind(now.0).bind(MAX_DUE).bind(latest.0).fetch_all(c).await)?;
        found.extend(more);
        Ok(found)
    }

    async fn announce_due(&self, due: &Due) -> Result<bool> {
        let now = self.now();
        let (endpoint_uid, app_uid) = self.uids_of(due.endpoint).await?;
        let rotates_at = due.policy.rotates_at(due.created_at, now);
        let due_at = due.policy.due_at(due.created_at);
        let data = json!({
            "appUid": app_uid,
            "endpointId": due.endpoint,
            "endpointUid": endpoint_uid,
            "rotatesAt": rotates_at.to_rfc3339(),
            "graceSeconds": due.policy.grace_seconds,
        });
        let said = Operation {
            event_type: event::SECRET_ROTATION_DUE,
            app_id: Some(due.app),
            event_id: format!("secret.rotation_due.{}.{}", due.endpoint, due_at.0),
            at: now,
            data: data.as_object().cloned().unwrap_or_default(),
        };
        if let Err(error) = self.publish_operations(vec![said]).await {
            tracing::warn!(%error, endpoint = %due.endpoint, "it is announced at the next look");
            return Ok(false);
        }
        let mut tx = self.db().begin().await?;
        let noted = on!(&mut tx, c => sqlx::query(NOTE)
            .bind(due.endpoint.as_str()).bind(due.app.as_str()).bind(due.created_at.0)
            .bind(due_at.0).bind(rotates_at.0)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(noted > 0)
    }

    /// A new secret of the same kind. False when another node was faster.
    async fn rotate_by_policy(&self, due: &Due) -> Result<bool> {
        let Some(current) = self.current_secret(due.endpoint).await? else { return Ok(false) };
        let secret = match SecretKind::of(&current) {
            SecretKind::Hmac => Secret::generate_hmac(self.entropy()),
            SecretKind::Ed25519 => Secret::generate_ed25519(self.entropy()),
        };
        let wish = Replacement {
            secret: &secret,
            grace_ms: due.policy.grace_ms(),
            reason: SecretReason::Policy,
            instead_of: Some(due.created_at),
        };
        let by = Actor::system("rotation policy");
        self.replace_secret(due.app, due.endpoint, wish, &by).await
    }
}

fn shown(policy: Option<SecretPolicy>) -> Value {
    policy.map_or_else(|| json!({ "everyDays": null }), |policy| json!(policy))
}
