use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Name, found};
use crate::AppState;
use crate::access::Caller;
use crate::endpoints;
use crate::endpoints::get_headers::EndpointHeadersOut;
use crate::endpoints::put_headers::EndpointHeadersIn;
use crate::endpoints::rotate_secret::EndpointSecretRotateIn;
use crate::endpoints::secret::EndpointSecretOut;
use crate::extract::{Body, OptionalBody};
use crate::problem::{ProblemDocument, Result};

/// Get the secret that operational events to an endpoint are signed with
#[utoipa::path(
    get, path = "/api/v1/operational-webhook/endpoint/{endpoint}/secret",
    operation_id = "v1.operational-webhook.endpoint.get-secret", tag = "Operational webhook",
    params(("endpoint" = String, Path, description = "The endpoint's id or uid")),
    responses((status = 200, body = EndpointSecretOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get_secret(
    State(state): State<AppState>,
    Name(endpoint): Name,
) -> Result<Json<EndpointSecretOut>> {
    let found = found(&state, &endpoint).await?;
    endpoints::get_secret::get_secret(State(state), found).await
}

/// Replace the secret of an endpoint that hears of operational events
#[utoipa::path(
    post, path = "/api/v1/operational-webhook/endpoint/{endpoint}/secret/rotate",
    operation_id = "v1.operational-webhook.endpoint.rotate-secret", tag = "Operational webhook",
    params(("endpoint" = String, Path, description = "The endpoint's id or uid")),
    request_body = Option<EndpointSecretRotateIn>,
    responses(
        (status = 200, body = EndpointSecretOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn rotate_secret(
    State(state): State<AppState>,
    caller: Caller,
    Name(endpoint): Name,
    wish: OptionalBody<EndpointSecretRotateIn>,
) -> Result<Json<EndpointSecretOut>> {
    let found = found(&state, &endpoint).await?;
    endpoints::rotate_secret::rotate_secret(State(state), caller, found, wish).await
}

/// Get the custom headers of an endpoint that hears of operational events
#[utoipa::path(
    get, path = "/api/v1/operational-webhook/endpoint/{endpoint}/headers",
    operation_id = "v1.operational-webhook.endpoint.get-headers", tag = "Operational webhook",
    params(("endpoint" = String, Path, description = "The endpoint's id or uid")),
    responses((status = 200, body = EndpointHeadersOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get_headers(
    State(state): State<AppState>,
    Name(endpoint): Name,
) -> Result<Json<EndpointHeadersOut>> {
    let found = found(&state, &endpoint).await?;
    Ok(endpoints::get_headers::get_headers(found).await)
}

/// Set the custom headers of an endpoint that hears of operational events
#[utoipa::path(
    put, path = "/api/v1/operational-webhook/endpoint/{endpoint}/headers",
    operation_id = "v1.operational-webhook.endpoint.update-headers", tag = "Operational webhook",
    params(("endpoint" = String, Path, description = "The endpoint's id or uid")),
    request_body = EndpointHeadersIn,
    responses(
        (status = 204),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put_headers(
    State(state): State<AppState>,
    caller: Caller,
    Name(endpoint): Name,
    wish: Body<EndpointHeadersIn>,
) -> Result<StatusCode> {
    let found = found(&state, &endpoint).await?;
    endpoints::put_headers::put_headers(State(state), caller, found, wish).await
}
