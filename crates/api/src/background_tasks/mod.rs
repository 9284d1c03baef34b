//! Background tasks: long work that a request started.

pub mod change;
pub mod get;
pub mod list;

use model::task::{Task, TaskStatus, Work};
use serde::Serialize;
use utoipa::ToSchema;

use crate::wire::Moment;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackgroundTaskOut {
    #[schema(example = "qtask_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    pub id: String,
    /// `running`, `finished` or `failed`; `data.state` says it more exactly.
    pub status: &'static str,
    /// What is done, for instance `endpoint.recover`.
    pub task: &'static str,
    pub updated_at: Moment,
    pub data: TaskDataOut,
}

/// How far it is, and what it works on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskDataOut {
    /// `running`, `paused`, `finished`, `failed` or `canceled`.
    pub state: &'static str,
    /// What is done in Doorbell's own word, for instance `vault.reseal`.
    pub work: &'static str,
    /// Deliveries made so far; for a purge what was deleted.
    pub done: u64,
    /// Of a replay: what was looked at so far.
    pub looked_at: Option<u64>,
    /// Of a replay: how many were selected when it began, if somebody counted.
    pub selected: Option<u64>,
    /// The replay that it does.
    pub replay_id: Option<String>,
    /// The last id that was dealt with.
    pub cursor: Option<String>,
    pub error: Option<String>,
    pub app_id: String,
    pub endpoint_id: Option<String>,
    pub since: Option<Moment>,
    pub until: Option<Moment>,
    pub created_at: Moment,
}

impl From<Task> for BackgroundTaskOut {
    fn from(task: Task) -> Self {
        let plan = task.work.plan().map(|(_, plan)| plan);
        let (app_id, endpoint_id) = scope(&task.work);
        let course = task.progress.course.as_ref();
        let data = TaskDataOut {
            state: task.status.as_str(),
            work: task.work.kind(),
            done: task.progress.done,
            looked_at: plan.map(|_| course.map_or(0, |course| course.looked_at)),
            selected: plan.and_then(|plan| plan.selected).map(|selected| selected.count),
            replay_id: plan.and_then(|plan| plan.replay_id).map(|id| id.to_string()),
            cursor: task.progress.cursor,
            error: task.progress.error,
            app_id,
            endpoint_id,
            since: plan.map(|plan| Moment(plan.selection.since)),
            until: plan.map(|plan| Moment(plan.selection.until)),
            created_at: Moment(task.created_at),
        };
        Self {
            id: task.id.to_string(),
            status: known_status(task.status).as_str(),
            task: kind(&task.work),
            updated_at: Moment(task.updated_at),
            data,
        }
    }
}

/// Published clients know three states.
const fn known_status(status: TaskStatus) -> TaskStatus {
    match status {
        TaskStatus::Running | TaskStatus::Paused => TaskStatus::Running,
        TaskStatus::Failed | TaskStatus::Canceled => TaskStatus::Failed,
        TaskStatus::Finished => TaskStatus::Finished,
    }
}

/// Published clients read this from a closed list, and refuse a whole page for one unknown word.
const fn kind(work: &Work) -> &'static str {
    match work {
        Work::Purge { .. } | Work::Reseal { .. } | Work::Erase(_) => "application.purge_content",
        other => other.kind(),
    }
}

fn scope(work: &Work) -> (String, Option<String>) {
    let (app, endpoint) = match work {
        Work::Recover(plan) | Work::ReplayMissing(plan) | Work::BulkReplay(plan) => {
            (plan.selection.app_id, plan.selection.only_endpoint())
        }
        Work::Purge { app_id, endpoint_id } => (*app_id, *endpoint_id),
        Work::Erase(erasure) => (erasure.app_id, None),
        // It concerns every app.
        Work::Reseal { .. } => return (String::new(), None),
    };
    (app.to_string(), endpoint.map(|id| id.to_string()))
}
