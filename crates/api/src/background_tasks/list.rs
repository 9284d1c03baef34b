use axum::Json;
use axum::extract::State;
use model::task::TaskStatus;
use serde::Deserialize;
use store::Order;
use utoipa::IntoParams;

use super::BackgroundTaskOut;
use crate::AppState;
use crate::access::Caller;
use crate::extract::Query;
use crate::page::{ListOut, PageIn};
use crate::problem::{ProblemDocument, Result};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `running`, `finished` or `failed`; or only what is `paused` or `canceled`.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    status: Option<TaskStatus>,
    /// Only tasks of the application with this id. Whoever has to do with several has to name one.
    #[serde(default)]
    app: Option<String>,
}

/// List background tasks, newest first
#[utoipa::path(
    get, path = "/api/v1/background-task", operation_id = "v1.background-task.list",
    tag = "Background task", params(ListQuery, PageIn),
    responses(
        (status = 200, body = ListOut<BackgroundTaskOut>),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<ListQuery>,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<BackgroundTaskOut>>> {
    let app = caller.app_filter(query.app.as_deref())?;
    let statuses = query.status.map_or(&[][..], shown_as);
    let tasks = state.store.tasks(&page.query(Order::Descending), statuses, app).await?;
    Ok(Json(ListOut::new(tasks, BackgroundTaskOut::from)))
}

/// The states that are shown under a name.
const fn shown_as(status: TaskStatus) -> &'static [TaskStatus] {
    match status {
        TaskStatus::Running => &[TaskStatus::Running, TaskStatus::Paused],
        TaskStatus::Failed => &[TaskStatus::Failed, TaskStatus::Canceled],
        TaskStatus::Finished => &[TaskStatus::Finished],
        TaskStatus::Paused => &[TaskStatus::Paused],
        TaskStatus::Canceled => &[TaskStatus::Canceled],
    }
}
