//! Has the receiver been seen to accept a secret? During a grace every delivery carries both
//! signatures, and a success says nothing. So somebody asks for a check; a process that delivers
//! takes it, sends what is signed with that secret alone, and writes down what came of it. One
//! whose process dies is taken by another when its lease is over.

use model::audit::{Actor, Change};
use model::endpoint::Endpoint;
use model::secret::CheckOutcome;
use model::signature::Secret;
use model::{AppId, EndpointId};
use serde_json::json;
use sqlx::FromRow;

use super::history::{Row as HistoryRow, SecretRecord, columns};
use crate::db::on;
use crate::{Result, Store, audit};

/// Longer than two requests can take.
const LEASE_MS: u64 = 90_000;
/// Checks taken in one look.
const MAX_AT_ONCE: i64 = 20;

const REQUEST: &str = "update secret_history set check_requested_at = $3, checked_at = null, \
    check_leased_until = null, check_outcome = null, check_detail = null \
    where endpoint_id = $1 and app_id = $2 and ends_at is null";
const NEWEST: &str = concat!(
    "select ",
    columns!(),
    " from secret_history where endpoint_id = $1 and app_id = $2 \
     and check_requested_at is not null order by created_at desc limit 1"
);
const WAITING: &str = "select s.endpoint_id, s.created_at, s.sealed, s.expires_at, h.app_id, \
    h.check_requested_at from secret_history h \
    join secret s on s.endpoint_id = h.endpoint_id and s.created_at = h.created_at \
    where h.check_requested_at is not null and h.checked_at is null \
    and (h.check_leased_until is null or h.check_leased_until <= $1) \
    order by h.check_requested_at limit $2";
const LEASE: &str = "update secret_history set check_leased_until = $4 \
    where endpoint_id = $1 and created_at = $2 and check_requested_at = $3 and checked_at is null \
    and (check_leased_until is null or check_leased_until <= $5)";
const FINISH: &str = "update secret_history set checked_at = $4, check_outcome = $5, \
    check_detail = $6 where endpoint_id = $1 and created_at = $2 and check_requested_at = $3 \
    and checked_at is null";

/// A check that this process carries out.
#[derive(Debug)]
pub struct SecretCheck {
    pub endpoint: Endpoint,
    /// The secret to be tried.
    pub secret: Secret,
    created_at: i64,
    requested_at: i64,
}

#[derive(FromRow)]
struct Waiting {
    #[sqlx(flatten)]
    secret: super::Row,
    app_id: String,
    check_requested_at: i64,
}

impl Store {
    /// Asks for a check of the current secret. None when the app has no such endpoint.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_secret_check(
        &self,
        app: AppId,
        endpoint: EndpointId,
        by: &Actor,
    ) -> Result<Option<SecretRecord>> {
        let now = self.now();
        let mut tx = self.db().begin().await?;
        let requested = on!(&mut tx, c => sqlx::query(REQUEST)
            .bind(endpoint.as_str()).bind(app.as_str()).bind(now.0)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if requested == 0 {
            return Ok(None);
        }
        let change = Change {
            action: "endpoint.check_secret",
            target: endpoint.to_string(),
            app_id: Some(app),
            before: None,
            after: Some(json!({ "requestedAt": now.0 })),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.wake.ring_checks();
        self.newest_secret_check(app, endpoint).await
    }

    /// The secret that was checked last, with what came of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_secret_check(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<Option<SecretRecord>> {
        let row: Option<HistoryRow> = on!(self.db().reader(), c => sqlx::query_as(NEWEST)
            .bind(endpoint.as_str()).bind(app.as_str()).fetch_optional(c).await)?;
        row.map(HistoryRow::read).transpose()
    }

    /// Takes checks that wait, each for this process alone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_secret_checks(&self) -> Result<Vec<SecretCheck>> {
        let now = self.now();
        let waiting: Vec<Waiting> = on!(self.db().reader(), c => {
            sqlx::query_as(WAITING).bind(now.0).bind(MAX_AT_ONCE).fetch_all(c).await
        })?;
        let mut taken = Vec::new();
        for waiting in waiting {
            let app: AppId = crate::rows::id(&waiting.app_id)?;
            let row = &waiting.secret;
            let mut tx = self.db().begin().await?;
            let leased = on!(&mut tx, c => sqlx::query(LEASE)
                .bind(&row.endpoint_id).bind(row.created_at).bind(waiting.check_requested_at)
                .bind(now.plus_ms(LEASE_MS).0).bind(now.0)
                .execute(&mut **c).await.map(|done| done.rows_affected()))?;
            tx.commit().await?;
            let endpoint = self.endpoint_in_app(app, &row.endpoint_id).await?;
            let (1, Some(endpoint)) = (leased, endpoint) else { continue };
            taken.push(SecretCheck {
                endpoint,
                secret: self.secret_of(row)?,
                created_at: row.created_at,
                requested_at: waiting.check_requested_at,
            });
        }
        Ok(taken)
    }

    /// Writes down what a check came to. False when it was asked for anew meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_secret_check(
        &self,
        check: &SecretCheck,
        outcome: CheckOutcome,
        detail: &str,
    ) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let finished = on!(&mut tx, c => sqlx::query(FINISH)
            .bind(check.endpoint.id.as_str()).bind(check.created_at).bind(check.requested_at)
            .bind(self.now().0).bind(outcome.as_str()).bind(detail)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(finished > 0)
    }
}
