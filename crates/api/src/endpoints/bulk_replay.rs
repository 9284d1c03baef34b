use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::task::Work;

use super::selection::{ReplayIn, ReplayOut};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InEndpoint};
use crate::problem::{ProblemDocument, Result};

/// Deliver again everything that matches
///
/// Also what succeeded before, unless `status` says otherwise.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/bulk-replay",
    operation_id = "v1.endpoint.bulk-replay", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = ReplayIn,
    responses(
        (status = 202, body = ReplayOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn bulk_replay(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
    Body(wish): Body<ReplayIn>,
) -> Result<(StatusCode, Json<ReplayOut>)> {
    let work = Work::BulkReplay(wish.at(&app, &endpoint, &state)?);
    let task = state.store.insert_task(Some(app.id), work, &caller.actor()).await?;
    Ok((StatusCode::ACCEPTED, Json(task.into())))
}
