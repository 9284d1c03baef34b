use axum::Json;
use axum::extract::State;
use model::Timestamp;
use model::breaker::Event;
use serde::Deserialize;
use store::BreakerOf;
use utoipa::ToSchema;

use super::{BreakerOut, reason_of};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InEndpoint};
use crate::problem::{Problem, ProblemDocument, Result};
use crate::wire::Moment;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerOpenIn {
    /// Why; it is shown to whoever asks why nothing is sent.
    reason: String,
    /// When to see whether the endpoint works again; left out, it stays open until it is closed.
    #[serde(default)]
    until: Option<Moment>,
}

/// Open the circuit breaker of an endpoint
///
/// Its deliveries are held: none is tried, none is lost, and no retry is used up.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/breaker/open",
    operation_id = "v1.endpoint.breaker.open", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = BreakerOpenIn,
    responses(
        (status = 200, body = BreakerOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn open(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
    Body(wish): Body<BreakerOpenIn>,
) -> Result<Json<BreakerOut>> {
    let store = &state.store;
    let until = wish.until.map_or(Timestamp::NEVER, |until| until.0);
    if until <= store.clock().now() {
        return Err(Problem::field("until", "must lie ahead"));
    }
    let reason = reason_of(&wish.reason)?;
    let thresholds = store.endpoint_thresholds(app.id, endpoint.id).await?.in_effect;
    let actor = caller.actor();
    let of =
        BreakerOf { endpoint: &endpoint, thresholds: &thresholds, era: None, by: Some(&actor) };
    store.move_breaker(&of, Event::OpenedByHand { until, reason }).await?;
    Ok(Json(BreakerOut::read(store, &app, &endpoint).await?))
}
