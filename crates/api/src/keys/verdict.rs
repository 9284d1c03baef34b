//! The answer to "is this key good?" on the wire.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use keys::Verdict;
use keys::limiter::Standing;
use model::key::decide::Code;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authorize::rate_limit::{self, Told};
use crate::wire::Moment;

/// Whether a key is good, and why.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyVerdict)]
pub struct VerdictOut {
    pub valid: bool,
    /// `VALID`, `MALFORMED`, `NOT_FOUND`, `DISABLED`, `REVOKED`, `EXPIRED`, `ROTATED_OUT`,
    /// `OWNER_DISABLED`, `WRONG_ENV`, `IP_NOT_ALLOWED`, `INSUFFICIENT_SCOPE`, `RATE_LIMITED` or
    /// `UNAVAILABLE`.
    #[schema(value_type = String, example = "VALID")]
    pub code: Code,
    /// The same in words: which scope is missing, which limit is used up, until when.
    #[schema(value_type = String)]
    pub reason: Cow<'static, str>,
    /// Whose key it is, unless it is not known.
    #[serde(flatten)]
    #[schema(inline)]
    pub key: Option<VerifiedKey>,
    /// A newer secret of the key exists: its user should change to that.
    pub superseded: bool,
    /// Until when the superseded secret is good.
    pub grace_ends_at: Option<Moment>,
    /// Where the limits stand that were asked.
    pub limits: Vec<StandingOut>,
    /// Limits that were asked for and do not exist.
    pub unknown_limits: Vec<String>,
    pub retry_after_ms: Option<u64>,
    /// How long ago it was last confirmed that nothing was revoked, milliseconds.
    pub as_of_ms: u64,
    /// Answered from memory.
    pub cached: bool,
    /// A limit was counted by one node alone because Redis does not answer.
    pub degraded: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedKey {
    pub key_id: String,
    pub keyspace_id: String,
    pub app_id: Option<String>,
    pub name: String,
    pub owner: Option<String>,
    pub environment: String,
    pub scopes: Vec<String>,
    pub roles: Vec<String>,
    pub metadata: BTreeMap<String, String>,
    pub tags: Vec<String>,
    pub expires_at: Option<Moment>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyLimitStanding)]
pub struct StandingOut {
    pub name: String,
    pub limit: u64,
    pub window_ms: u64,
    pub remaining: u64,
    pub reset_ms: u64,
    pub exceeded: bool,
    pub degraded: bool,
}

impl From<&Standing> for StandingOut {
    fn from(standing: &Standing) -> Self {
        Self {
            name: standing.name.to_string(),
            limit: standing.limit,
            window_ms: standing.window_ms,
            remaining: standing.remaining,
            reset_ms: standing.reset_ms,
            exceeded: standing.exceeded,
            degraded: standing.degraded,
        }
    }
}

impl From<&model::key::Key> for VerifiedKey {
    fn from(key: &model::key::Key) -> Self {
        Self {
            key_id: key.id.to_string(),
            keyspace_id: key.keyspace_id.to_string(),
            app_id: key.app_id.map(|id| id.to_string()),
            name: key.name.clone(),
            owner: key.owner.clone(),
            environment: key.environment.clone(),
            scopes: key.scopes.clone(),
            roles: key.roles.clone(),
            metadata: key.metadata.clone(),
            tags: key.tags.clone(),
            expires_at: key.expires_at.map(Moment),
        }
    }
}

impl From<&Verdict> for VerdictOut {
    fn from(verdict: &Verdict) -> Self {
        Self {
            valid: verdict.is_valid(),
            code: verdict.code,
            reason: verdict.reason.clone(),
            key: verdict.key().map(Into::into),
            superseded: verdict.is_superseded(),
            grace_ends_at: verdict.grace_ends_at.map(Moment),
            limits: verdict.limits.iter().map(Into::into).collect(),
            unknown_limits: verdict.unknown_limits.clone(),
            retry_after_ms: verdict.retry_after_ms,
            as_of_ms: verdict.stale_ms,
            cached: verdict.cached,
            degraded: verdict.degraded,
        }
    }
}

/// 200 whatever it says, unless statuses are wanted.
pub(super) fn answer(verdict: &Verdict, mapped: bool) -> Response {
    let mut response = Json(VerdictOut::from(verdict)).into_response();
    if !mapped {
        return response;
    }
    *response.status_mut() = status(verdict.code);
    let told =
        Told { limits: &verdict.limits, retry_after_ms: verdict.retry_after_ms, legacy: true };
    rate_limit::write(response.headers_mut(), told);
    response
}

const fn status(code: Code) -> StatusCode {
    match code {
        Code::Valid => StatusCode::OK,
        Code::Malformed
        | Code::NotFound
        | Code::Disabled
        | Code::Revoked
        | Code::Expired
        | Code::RotatedOut
        | Code::OwnerDisabled => StatusCode::UNAUTHORIZED,
        Code::WrongEnv | Code::IpNotAllowed | Code::InsufficientScope => StatusCode::FORBIDDEN,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `INSUFFICIENT_SCOPE`
pub(super) fn code_text(code: Code) -> String {
    serde_json::to_value(code)
        .ok()
        .and_then(|code| code.as_str().map(str::to_owned))
        .unwrap_or_default()
}
