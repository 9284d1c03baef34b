//! Background tasks: long work that a request started.

pub mod get;
pub mod list;

use model::task::{Selection, Task, Work};
use serde::Serialize;
use utoipa::ToSchema;

use crate::wire::Moment;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackgroundTaskOut {
    #[schema(example = "qtask_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    pub id: String,
    /// `running`, `finished` or `failed`.
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
    /// Deliveries made so far; for a purge what was deleted.
    pub done: u64,
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
        let (app_id, endpoint_id, selection) = scope(&task.work);
        let data = TaskDataOut {
            done: task.progress.done,
            cursor: task.progress.cursor,
            error: task.progress.error,
            app_id,
            endpoint_id,
            since: selection.map(|selection| Moment(selection.since)),
            until: selection.map(|selection| Moment(selection.until)),
            created_at: Moment(task.created_at),
        };
        Self {
            id: task.id.to_string(),
            status: task.status.as_str(),
            task: kind(&task.work),
            updated_at: Moment(task.updated_at),
            data,
        }
    }
}

/// Published clients read this from a closed list, and refuse a whole page for one unknown word.
const fn kind(work: &Work) -> &'static str {
    match work {
        Work::Purge { .. } => "application.purge_content",
        other => other.kind(),
    }
}

fn scope(work: &Work) -> (String, Option<String>, Option<&Selection>) {
    match work {
        Work::Recover(selection) | Work::ReplayMissing(selection) | Work::BulkReplay(selection) => {
            let endpoint = selection.endpoint_id.to_string();
            (selection.app_id.to_string(), Some(endpoint), Some(selection))
        }
        Work::Purge { app_id, endpoint_id } => {
            (app_id.to_string(), endpoint_id.as_ref().map(ToString::to_string), None)
        }
    }
}
