use axum::Json;

use super::EndpointOut;
use crate::extract::InEndpoint;
use crate::problem::ProblemDocument;

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
pub async fn get(InEndpoint(_app, endpoint): InEndpoint) -> Json<EndpointOut> {
    Json(endpoint.into())
}
