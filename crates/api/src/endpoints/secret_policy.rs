//! When an endpoint's secret is renewed by itself: its own policy, or what the instance says.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::secret::{BadSecretPolicy, SecretPolicy};
use serde::{Deserialize, Serialize};
use store::PolicyOf;
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InEndpoint};
use crate::problem::{Problem, ProblemDocument, Result};
use crate::wire::Moment;

const DEFAULT_GRACE_SECONDS: u64 = 24 * 60 * 60;
const DEFAULT_NOTICE_DAYS: u32 = 7;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretPolicyIn {
    /// Days between rotations; null or 0: never, whatever the instance says.
    #[schema(example = 90)]
    every_days: Option<u32>,
    /// How long the secret before signs on; a day if left out.
    grace_seconds: Option<u64>,
    /// How long before it `endpoint.secret.rotation_due` is published; a week if left out, or less
    /// when rotations are more frequent.
    notice_days: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretPolicyOut {
    /// `endpoint`, or `instance` where the endpoint has none of its own.
    source: &'static str,
    /// Null: never.
    every_days: Option<u32>,
    grace_seconds: Option<u64>,
    notice_days: Option<u32>,
    /// When the next rotation is said.
    notice_at: Option<Moment>,
    /// When it is done.
    rotates_at: Option<Moment>,
}

impl From<PolicyOf> for SecretPolicyOut {
    fn from(of: PolicyOf) -> Self {
        Self {
            source: if of.own.is_some() { "endpoint" } else { "instance" },
            every_days: of.policy.map(|policy| policy.every_days),
            grace_seconds: of.policy.map(|policy| policy.grace_seconds),
            notice_days: of.policy.map(|policy| policy.notice_days),
            notice_at: of.notice_at.map(Moment),
            rotates_at: of.rotates_at.map(Moment),
        }
    }
}

impl SecretPolicyIn {
    fn policy(&self) -> Result<Option<SecretPolicy>> {
        let Some(every_days) = self.every_days.filter(|days| *days > 0) else { return Ok(None) };
        let policy = SecretPolicy {
            every_days,
            grace_seconds: self.grace_seconds.unwrap_or(DEFAULT_GRACE_SECONDS),
            notice_days: self.notice_days.unwrap_or(DEFAULT_NOTICE_DAYS.min(every_days / 2)),
        };
        policy.check().map_err(|error| {
            let field = match error {
                BadSecretPolicy::EveryDays => "everyDays",
                BadSecretPolicy::GraceSeconds => "graceSeconds",
                BadSecretPolicy::NoticeDays => "noticeDays",
            };
            Problem::field(field, error)
        })?;
        Ok(Some(policy))
    }
}

/// Tell when an endpoint's secret is renewed by itself
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret/policy",
    operation_id = "v1.endpoint.get-secret-policy", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = SecretPolicyOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(
    State(state): State<AppState>,
    InEndpoint(app, endpoint): InEndpoint,
) -> Result<Json<SecretPolicyOut>> {
    Ok(Json(state.store.secret_policy(app.id, endpoint.id).await?.into()))
}

/// Have an endpoint's secret renewed by itself, or never
///
/// The new secret is not sent anywhere: its owner fetches it. Until the grace is over both sign.
#[utoipa::path(
    put, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret/policy",
    operation_id = "v1.endpoint.put-secret-policy", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = SecretPolicyIn,
    responses(
        (status = 200, body = SecretPolicyOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
    Body(wish): Body<SecretPolicyIn>,
) -> Result<Json<SecretPolicyOut>> {
    let (store, policy) = (&state.store, wish.policy()?);
    if !store.put_secret_policy(app.id, endpoint.id, policy, &caller.actor()).await? {
        return Err(Problem::not_found("endpoint"));
    }
    Ok(Json(store.secret_policy(app.id, endpoint.id).await?.into()))
}

/// Leave the renewal of an endpoint's secret to what the instance says
#[utoipa::path(
    delete, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret/policy",
    operation_id = "v1.endpoint.delete-secret-policy", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
) -> Result<StatusCode> {
    state.store.delete_secret_policy(app.id, endpoint.id, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
