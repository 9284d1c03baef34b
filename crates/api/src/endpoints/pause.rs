use axum::Json;
use axum::extract::State;
use model::endpoint::Endpoint;

use super::{EndpointOut, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::InEndpoint;
use crate::problem::{ProblemDocument, Result};

/// Hold an endpoint's deliveries
///
/// None is dropped: new ones queue up behind those it has until it is resumed.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/pause",
    operation_id = "v1.endpoint.pause", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = EndpointOut), (status = 404, body = ProblemDocument)),
)]
pub async fn pause(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(_app, endpoint): InEndpoint,
) -> Result<Json<EndpointOut>> {
    if endpoint.paused_at.is_some() {
        return Ok(Json(endpoint.into()));
    }
    let now = state.store.clock().now();
    let paused = Endpoint { paused_at: Some(now), updated_at: now, ..endpoint.clone() };
    let saved = state.store.edit_endpoint(&endpoint, &paused, &caller.actor()).await?;
    Ok(Json(saved.ok_or_else(uid_taken)?.into()))
}
