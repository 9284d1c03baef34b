use std::collections::BTreeMap;

use axum::Json;
use model::name::is_sensitive_header;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::InEndpoint;
use crate::problem::ProblemDocument;

#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointHeadersOut {
    headers: BTreeMap<String, String>,
    /// Names of headers whose values are not shown.
    sensitive: Vec<String>,
}

/// Get the headers that are sent with an endpoint's deliveries
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}/headers",
    operation_id = "v1.endpoint.get-headers", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = EndpointHeadersOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get_headers(InEndpoint(_app, endpoint): InEndpoint) -> Json<EndpointHeadersOut> {
    let (hidden, headers): (BTreeMap<_, _>, BTreeMap<_, _>) =
        endpoint.headers.into_iter().partition(|(name, _)| is_sensitive_header(name));
    Json(EndpointHeadersOut { headers, sensitive: hidden.into_keys().collect() })
}
