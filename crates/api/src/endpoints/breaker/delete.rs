use axum::extract::State;
use axum::http::StatusCode;
use model::breaker::Override;

use crate::AppState;
use crate::access::Caller;
use crate::extract::InEndpoint;
use crate::problem::{ProblemDocument, Result};

/// Give an endpoint's circuit breaker the thresholds of its application again
#[utoipa::path(
    delete, path = "/api/v1/app/{app}/endpoint/{endpoint}/breaker",
    operation_id = "v1.endpoint.breaker.delete", tag = "Endpoint",
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
    let none = Override::default();
    state.store.set_thresholds(app.id, Some(endpoint.id), &none, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
