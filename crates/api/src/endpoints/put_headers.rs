use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::wish::check;
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InEndpoint};
use crate::problem::{ProblemDocument, Result};

// No `Debug`: a value may be a credential.
/// Headers for every delivery.
#[derive(Deserialize, ToSchema)]
pub struct EndpointHeadersIn {
    #[schema(example = json!({"X-Tenant": "7"}))]
    headers: BTreeMap<String, String>,
}

/// Set the headers that are sent with an endpoint's deliveries
///
/// They replace all that were set before.
#[utoipa::path(
    put, path = "/api/v1/app/{app}/endpoint/{endpoint}/headers",
    operation_id = "v1.endpoint.update-headers", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
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
    InEndpoint(_app, mut endpoint): InEndpoint,
    Body(wish): Body<EndpointHeadersIn>,
) -> Result<StatusCode> {
    let seen = endpoint.clone();
    endpoint.headers = wish.headers;
    endpoint.updated_at = state.store.clock().now();
    check(&endpoint)?;
    state.store.edit_endpoint(&seen, &endpoint, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
