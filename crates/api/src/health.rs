//! Whether this process answers, and whether it could serve. Nobody has to say who they are.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use keys::limiter::RedisState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::AppState;
use crate::problem::{ProblemDocument, Result};

/// How this process is, part by part.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HealthDetail)]
pub struct HealthOut {
    pub status: HealthStatus,
    pub database: PartState,
    /// For limits that several processes share.
    pub redis: PartState,
    pub limiter: LimiterOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    Ok,
    /// It serves, but limits are counted without the Redis they belong to.
    Degraded,
    /// The database does not answer.
    Unavailable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartState {
    Unused,
    Up,
    Down,
}

/// Since the process started.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LimiterHealth)]
pub struct LimiterOut {
    /// Limits that were judged without the Redis they belong to, each by its own policy.
    pub degraded: u64,
    /// Questions that Redis did not answer.
    pub redis_failures: u64,
    /// Subjects that were still counting when room was made for others.
    pub forgotten: u64,
}

/// Tell whether the server can serve: its database answers
#[utoipa::path(
    get, path = "/api/v1/health", operation_id = "v1.health.get", tag = "Health",
    responses((status = 204), (status = 503, body = ProblemDocument)),
    security(()),
)]
pub async fn get(State(state): State<AppState>) -> Result<StatusCode> {
    state.store.ping().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tell whether the process answers at all
#[utoipa::path(
    get, path = "/api/v1/health/live", operation_id = "v1.health.live", tag = "Health",
    responses((status = 204)),
    security(()),
)]
pub async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Tell whether requests may be sent here: the database answers
#[utoipa::path(
    get, path = "/api/v1/health/ready", operation_id = "v1.health.ready", tag = "Health",
    responses((status = 204), (status = 503, body = ProblemDocument)),
    security(()),
)]
pub async fn ready(state: State<AppState>) -> Result<StatusCode> {
    get(state).await
}

/// Tell how each part is
///
/// What is degraded still serves: the status is 503 only when the database does not answer.
#[utoipa::path(
    get, path = "/api/v1/health/detail", operation_id = "v1.health.detail", tag = "Health",
    responses((status = 200, body = HealthOut), (status = 503, body = HealthOut)),
    security(()),
)]
pub async fn detail(State(state): State<AppState>) -> (StatusCode, Json<HealthOut>) {
    let limiter = state.keys.limiter().health();
    let redis = match limiter.redis {
        RedisState::Unused => PartState::Unused,
        RedisState::Up => PartState::Up,
        RedisState::Down => PartState::Down,
    };
    let database = match state.store.ping().await {
        Ok(()) => PartState::Up,
        Err(_) => PartState::Down,
    };
    let (code, status) = match (database, redis) {
        (PartState::Down, _) => (StatusCode::SERVICE_UNAVAILABLE, HealthStatus::Unavailable),
        (_, PartState::Down) => (StatusCode::OK, HealthStatus::Degraded),
        _ => (StatusCode::OK, HealthStatus::Ok),
    };
    let limiter = LimiterOut {
        degraded: limiter.degraded,
        redis_failures: limiter.redis_failures,
        forgotten: limiter.forgotten,
    };
    (code, Json(HealthOut { status, database, redis, limiter }))
}
