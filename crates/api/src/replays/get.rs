use axum::Json;
use axum::extract::State;

use super::{InReplay, ReplayOut};
use crate::AppState;
use crate::problem::{ProblemDocument, Result};

/// Get a replay, and what became of it
#[utoipa::path(
    get, path = "/api/v1/app/{app}/replay/{replay}", operation_id = "v1.replay.get",
    tag = "Replay",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("replay" = String, Path, description = "The replay's id"),
    ),
    responses((status = 200, body = ReplayOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(
    State(state): State<AppState>,
    InReplay(_app, replay): InReplay,
) -> Result<Json<ReplayOut>> {
    let counts = state.store.replay_counts(replay.id).await?;
    Ok(Json(ReplayOut::new(replay, Some(counts))))
}
