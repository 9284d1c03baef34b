use axum::Json;
use axum::extract::State;
use model::endpoint::{Disabled, DisabledReason};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{EndpointOut, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{InEndpoint, OptionalBody};
use crate::problem::{ProblemDocument, Result};
use crate::replays::wish::check_text;

#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct DisableIn {
    /// Why, for whoever finds it disabled.
    reason: Option<String>,
}

/// Disable an endpoint
///
/// It gets no new deliveries; those it has are kept. One that is disabled already keeps its reason.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/disable",
    operation_id = "v1.endpoint.disable", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = Option<DisableIn>,
    responses(
        (status = 200, body = EndpointOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn disable(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(_app, endpoint): InEndpoint,
    OptionalBody(wish): OptionalBody<DisableIn>,
) -> Result<Json<EndpointOut>> {
    check_text("reason", wish.reason.as_deref())?;
    if endpoint.disabled.is_some() {
        return Ok(Json(endpoint.into()));
    }
    let now = state.store.clock().now();
    let mut disabled = endpoint.clone();
    disabled.disabled =
        Some(Disabled { note: wish.reason, ..Disabled::new(now, DisabledReason::ByHand) });
    disabled.updated_at = now;
    let saved = state.store.edit_endpoint(&endpoint, &disabled, &caller.actor()).await?;
    Ok(Json(saved.ok_or_else(uid_taken)?.into()))
}
