use axum::Json;
use axum::extract::State;
use model::breaker::Event;
use serde::Deserialize;
use store::BreakerOf;
use utoipa::ToSchema;

use super::{BreakerOut, reason_of};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InEndpoint};
use crate::problem::{Code, Problem, ProblemDocument, Result};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerCloseIn {
    /// Why.
    reason: String,
}

/// Close the circuit breaker of an endpoint
///
/// What piled up is sent at a bounded rate, oldest first.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/breaker/close",
    operation_id = "v1.endpoint.breaker.close", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = BreakerCloseIn,
    responses(
        (status = 200, body = BreakerOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It is closed"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn close(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
    Body(wish): Body<BreakerCloseIn>,
) -> Result<Json<BreakerOut>> {
    let store = &state.store;
    let reason = reason_of(&wish.reason)?;
    let thresholds = store.endpoint_thresholds(app.id, endpoint.id).await?.in_effect;
    let actor = caller.actor();
    let of =
        BreakerOf { endpoint: &endpoint, thresholds: &thresholds, era: None, by: Some(&actor) };
    if store.move_breaker(&of, Event::ClosedByHand { reason }).await?.is_none() {
        return Err(Problem::new(Code::NotActive, "The breaker of the endpoint is closed."));
    }
    Ok(Json(BreakerOut::read(store, &app, &endpoint).await?))
}
