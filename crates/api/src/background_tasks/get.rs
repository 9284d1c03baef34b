use axum::Json;
use axum::extract::{Path, State};

use super::BackgroundTaskOut;
use crate::AppState;
use crate::access::Caller;
use crate::problem::{Problem, ProblemDocument, Result};

/// Get a background task
#[utoipa::path(
    get, path = "/api/v1/background-task/{task}", operation_id = "v1.background-task.get",
    tag = "Background task",
    params(("task" = String, Path, description = "The task's id")),
    responses((status = 200, body = BackgroundTaskOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(task): Path<String>,
) -> Result<Json<BackgroundTaskOut>> {
    let not_found = || Problem::not_found("background task");
    let id = task.parse().map_err(|_| not_found())?;
    let task = state.store.task(id).await?.ok_or_else(not_found)?;
    if !caller.app_scope().permits_any(task.app_id) {
        return Err(not_found());
    }
    Ok(Json(task.into()))
}
