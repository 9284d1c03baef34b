use axum::Json;
use axum::extract::State;

use super::BreakerOut;
use crate::AppState;
use crate::extract::InEndpoint;
use crate::problem::{ProblemDocument, Result};

/// Get the circuit breaker of an endpoint
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}/breaker",
    operation_id = "v1.endpoint.breaker.get", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = BreakerOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(
    State(state): State<AppState>,
    InEndpoint(app, endpoint): InEndpoint,
) -> Result<Json<BreakerOut>> {
    Ok(Json(BreakerOut::read(&state.store, &app, &endpoint).await?))
}
