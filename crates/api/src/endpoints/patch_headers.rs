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
/// What shall change.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHeadersPatchIn {
    /// Headers to set; `null` deletes one.
    #[serde(default)]
    #[schema(example = json!({"X-Tenant": "7", "X-Old": null}))]
    headers: BTreeMap<String, Option<String>>,
    /// Names of headers to delete.
    #[serde(default)]
    delete_headers: Vec<String>,
}

/// Change some of the headers that are sent with an endpoint's deliveries
#[utoipa::path(
    patch, path = "/api/v1/app/{app}/endpoint/{endpoint}/headers",
    operation_id = "v1.endpoint.patch-headers", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = EndpointHeadersPatchIn,
    responses(
        (status = 204),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch_headers(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(_app, mut endpoint): InEndpoint,
    Body(wish): Body<EndpointHeadersPatchIn>,
) -> Result<StatusCode> {
    let seen = endpoint.clone();
    let headers = &mut endpoint.headers;
    // Case does not matter in a header's name: what is set replaces every spelling of it.
    let named = wish.headers.keys().chain(&wish.delete_headers);
    for name in named {
        headers.retain(|known, _| !known.eq_ignore_ascii_case(name));
    }
    let set = wish.headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    headers.extend(set);
    endpoint.updated_at = state.store.clock().now();
    check(&endpoint)?;
    state.store.edit_endpoint(&seen, &endpoint, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
