use axum::extract::State;
use axum::http::StatusCode;
use model::task::Work;

use crate::AppState;
use crate::access::Caller;
use crate::extract::InEndpoint;
use crate::problem::{ProblemDocument, Result};

/// Delete an endpoint with its deliveries
#[utoipa::path(
    delete, path = "/api/v1/app/{app}/endpoint/{endpoint}", operation_id = "v1.endpoint.delete",
    tag = "Endpoint",
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
    state.store.delete_endpoint(app.id, endpoint.id, &caller.actor()).await?;
    let purge = Work::Purge { app_id: app.id, endpoint_id: Some(endpoint.id) };
    state.store.insert_task(None, purge, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
