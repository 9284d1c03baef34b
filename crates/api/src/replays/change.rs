//! A replay is paused, goes on, or is ended. Nothing more is made then; what is made goes its way.

use axum::Json;
use axum::extract::State;
use store::TaskVerb;

use super::{InReplay, ReplayOut};
use crate::AppState;
use crate::access::Caller;
use crate::background_tasks::change::{change, over};
use crate::problem::{Problem, ProblemDocument, Result};

/// Pause a replay
#[utoipa::path(
    post, path = "/api/v1/app/{app}/replay/{replay}/pause", operation_id = "v1.replay.pause",
    tag = "Replay",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("replay" = String, Path, description = "The replay's id"),
    ),
    responses(
        (status = 200, body = ReplayOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It does not run"),
    ),
)]
pub async fn pause(
    State(state): State<AppState>,
    caller: Caller,
    named: InReplay,
) -> Result<Json<ReplayOut>> {
    turned(&state, &caller, named, TaskVerb::Pause).await
}

/// Go on with a replay that was paused
#[utoipa::path(
    post, path = "/api/v1/app/{app}/replay/{replay}/resume", operation_id = "v1.replay.resume",
    tag = "Replay",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("replay" = String, Path, description = "The replay's id"),
    ),
    responses(
        (status = 200, body = ReplayOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It is not paused"),
    ),
)]
pub async fn resume(
    State(state): State<AppState>,
    caller: Caller,
    named: InReplay,
) -> Result<Json<ReplayOut>> {
    turned(&state, &caller, named, TaskVerb::Resume).await
}

/// End a replay
///
/// Nothing more is made. Deliveries that were made go on; each can be canceled by itself.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/replay/{replay}/cancel", operation_id = "v1.replay.cancel",
    tag = "Replay",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("replay" = String, Path, description = "The replay's id"),
    ),
    responses(
        (status = 200, body = ReplayOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It is over"),
    ),
)]
pub async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    named: InReplay,
) -> Result<Json<ReplayOut>> {
    turned(&state, &caller, named, TaskVerb::Cancel).await
}

async fn turned(
    state: &AppState,
    caller: &Caller,
    InReplay(app, replay): InReplay,
    verb: TaskVerb,
) -> Result<Json<ReplayOut>> {
    let task = replay.task_id.ok_or_else(over)?;
    change(state, caller, task, verb).await?;
    let replay = state.store.replay_in_app(app.id, replay.id).await?;
    let replay = replay.ok_or_else(|| Problem::not_found("replay"))?;
    let counts = state.store.replay_counts(replay.id).await?;
    Ok(Json(ReplayOut::new(replay, Some(counts))))
}
