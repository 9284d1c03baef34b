use axum::Json;
use axum::extract::State;

use super::BreakerOut;
use super::thresholds::ThresholdsShape;
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InEndpoint};
use crate::problem::{ProblemDocument, Result};

/// Set when the circuit breaker of an endpoint opens
///
/// The state it is in stays.
#[utoipa::path(
    put, path = "/api/v1/app/{app}/endpoint/{endpoint}/breaker",
    operation_id = "v1.endpoint.breaker.update", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = ThresholdsShape,
    responses(
        (status = 200, body = BreakerOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
    Body(wish): Body<ThresholdsShape>,
) -> Result<Json<BreakerOut>> {
    let store = &state.store;
    let own = wish.read(&store.app_thresholds(app.id).await?.in_effect)?;
    store.set_thresholds(app.id, Some(endpoint.id), &own, &caller.actor()).await?;
    Ok(Json(BreakerOut::read(store, &app, &endpoint).await?))
}
