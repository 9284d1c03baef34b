//! A task is paused, goes on, or is ended. What deletes the rest of something that is gone cannot
//! be stopped: there would be nobody to go on.

use axum::Json;
use axum::extract::{Path, State};
use model::TaskId;
use model::task::{Task, TaskStatus};
use store::{TaskChange, TaskVerb};

use super::BackgroundTaskOut;
use crate::AppState;
use crate::access::Caller;
use crate::problem::{Code, Problem, ProblemDocument, Result};

/// Pause a background task
#[utoipa::path(
    post, path = "/api/v1/background-task/{task}/pause", operation_id = "v1.background-task.pause",
    tag = "Background task",
    params(("task" = String, Path, description = "The task's id")),
    responses(
        (status = 200, body = BackgroundTaskOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It does not run"),
    ),
)]
pub async fn pause(
    State(state): State<AppState>,
    caller: Caller,
    Path(task): Path<String>,
) -> Result<Json<BackgroundTaskOut>> {
    turned(&state, &caller, &task, TaskVerb::Pause).await
}

/// Go on with a background task that was paused
#[utoipa::path(
    post, path = "/api/v1/background-task/{task}/resume",
    operation_id = "v1.background-task.resume", tag = "Background task",
    params(("task" = String, Path, description = "The task's id")),
    responses(
        (status = 200, body = BackgroundTaskOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It is not paused"),
    ),
)]
pub async fn resume(
    State(state): State<AppState>,
    caller: Caller,
    Path(task): Path<String>,
) -> Result<Json<BackgroundTaskOut>> {
    turned(&state, &caller, &task, TaskVerb::Resume).await
}

/// End a background task
#[utoipa::path(
    post, path = "/api/v1/background-task/{task}/cancel",
    operation_id = "v1.background-task.cancel", tag = "Background task",
    params(("task" = String, Path, description = "The task's id")),
    responses(
        (status = 200, body = BackgroundTaskOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It is over, or may not be stopped"),
    ),
)]
pub async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Path(task): Path<String>,
) -> Result<Json<BackgroundTaskOut>> {
    turned(&state, &caller, &task, TaskVerb::Cancel).await
}

async fn turned(
    state: &AppState,
    caller: &Caller,
    task: &str,
    verb: TaskVerb,
) -> Result<Json<BackgroundTaskOut>> {
    let not_found = || Problem::not_found("background task");
    let id = task.parse().map_err(|_| not_found())?;
    let task = state.store.task(id).await?.ok_or_else(not_found)?;
    if !caller.app_scope().permits_any(task.app_id) {
        return Err(not_found());
    }
    if task.work.plan().is_none() {
        let why = "It deletes what belonged to something that is gone, and cannot be stopped.";
        return Err(Problem::new(Code::TaskState, why));
    }
    Ok(Json(change(state, caller, id, verb).await?.into()))
}

/// Does it to a task that the caller was found to have to do with.
pub(crate) async fn change(
    state: &AppState,
    caller: &Caller,
    id: TaskId,
    verb: TaskVerb,
) -> Result<Task> {
    match state.store.change_task(id, verb, &caller.actor()).await? {
        TaskChange::Changed(task) => Ok(*task),
        TaskChange::TooLate(TaskStatus::Running) => {
            Err(Problem::new(Code::TaskState, "It runs; only what is paused can go on."))
        }
        TaskChange::TooLate(TaskStatus::Paused) => {
            Err(Problem::new(Code::TaskState, "It is paused already."))
        }
        TaskChange::TooLate(_) => Err(over()),
        TaskChange::NotFound => Err(Problem::not_found("background task")),
    }
}

pub(crate) fn over() -> Problem {
    Problem::new(Code::TaskState, "It is over already.")
}
