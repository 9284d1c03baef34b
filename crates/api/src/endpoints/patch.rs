use axum::Json;
use axum::extract::State;

use super::wish::EndpointPatch;
use super::{EndpointOut, secret, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InEndpoint};
use crate::problem::{ProblemDocument, Result};

/// Change parts of an endpoint
#[utoipa::path(
    patch, path = "/api/v1/app/{app}/endpoint/{endpoint}", operation_id = "v1.endpoint.patch",
    tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = EndpointPatch,
    responses(
        (status = 200, body = EndpointOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "The uid is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(_app, endpoint): InEndpoint,
    Body(wish): Body<EndpointPatch>,
) -> Result<Json<EndpointOut>> {
    let key = wish.secret.as_ref().map(|secret| secret.read("secret")).transpose()?;
    let wished = wish.apply(endpoint.clone(), &state)?;
    secret::check_body_signature(&state, &wished, key.as_ref()).await?;
    let saved = state.store.edit_endpoint(&endpoint, &wished, &caller.actor()).await?;
    let endpoint = saved.ok_or_else(uid_taken)?;
    if let Some(key) = key {
        secret::replace(&state, &endpoint, &key, 0, &caller.actor()).await?;
    }
    Ok(Json(endpoint.into()))
}
