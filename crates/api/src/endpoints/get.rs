use axum::Json;
use axum::extract::State;

use super::{EndpointHoldOut, EndpointOut};
use crate::AppState;
use crate::extract::InEndpoint;
use crate::problem::{ProblemDocument, Result};

/// Get an endpoint
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}", operation_id = "v1.endpoint.get",
    tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = EndpointOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(
    State(state): State<AppState>,
    InEndpoint(app, endpoint): InEndpoint,
) -> Result<Json<EndpointOut>> {
    let route = state.store.route_in_app(app.id, endpoint.id).await?;
    let gate = route.map(|route| route.gate(state.store.clock().now()));
    Ok(Json(EndpointOut { held: gate.and_then(EndpointHoldOut::of), ..endpoint.into() }))
}
