use axum::Json;
use axum::extract::State;

use crate::AppState;
use crate::access::Caller;
use crate::endpoints::breaker::thresholds::{ThresholdsOut, ThresholdsShape};
use crate::extract::{Body, InApp};
use crate::problem::{ProblemDocument, Result};

/// Get when the circuit breakers of an application's endpoints open
#[utoipa::path(
    get, path = "/api/v1/app/{app}/breaker", operation_id = "v1.application.breaker.get",
    tag = "Application",
    params(("app" = String, Path, description = "The application's id or uid")),
    responses((status = 200, body = ThresholdsOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(State(state): State<AppState>, InApp(app): InApp) -> Result<Json<ThresholdsOut>> {
    Ok(Json(state.store.app_thresholds(app.id).await?.into()))
}

/// Set when the circuit breakers of an application's endpoints open
///
/// Endpoints with thresholds of their own keep those.
#[utoipa::path(
    put, path = "/api/v1/app/{app}/breaker", operation_id = "v1.application.breaker.update",
    tag = "Application",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = ThresholdsShape,
    responses(
        (status = 200, body = ThresholdsOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    Body(wish): Body<ThresholdsShape>,
) -> Result<Json<ThresholdsOut>> {
    let own = wish.read(state.store.thresholds())?;
    state.store.set_thresholds(app.id, None, &own, &caller.actor()).await?;
    Ok(Json(state.store.app_thresholds(app.id).await?.into()))
}
