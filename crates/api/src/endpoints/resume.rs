use axum::Json;
use axum::extract::State;
use model::endpoint::Endpoint;

use super::{EndpointOut, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::InEndpoint;
use crate::problem::{ProblemDocument, Result};

/// Let an endpoint's held deliveries go
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/resume",
    operation_id = "v1.endpoint.resume", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = EndpointOut), (status = 404, body = ProblemDocument)),
)]
pub async fn resume(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(_app, endpoint): InEndpoint,
) -> Result<Json<EndpointOut>> {
    if endpoint.paused_at.is_none() {
        return Ok(Json(endpoint.into()));
    }
    let updated_at = state.store.clock().now();
    let resumed = Endpoint { paused_at: None, updated_at, ..endpoint.clone() };
    let saved = state.store.edit_endpoint(&endpoint, &resumed, &caller.actor()).await?;
    Ok(Json(saved.ok_or_else(uid_taken)?.into()))
}
