//! Whether this process answers, and whether it could serve. Nobody has to say who they are.

use axum::extract::State;
use axum::http::StatusCode;

use crate::AppState;
use crate::problem::{ProblemDocument, Result};

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
