//! Which of an endpoint's messages are delivered again, and the task that does it. The three
//! routes of the delivery contract start the same kind of replay as `POST …/replay` does.

use axum::Json;
use axum::http::StatusCode;
use model::app::App;
use model::endpoint::Endpoint;
use model::replay::{Kind, Selection};
use model::task::{Task, TaskStatus};
use serde::{Deserialize, Serialize};
use store::NewReplay;
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::problem::Result;
use crate::query::StatusCodeClass;
use crate::replays::wish;
use crate::status::Status;
use crate::wire::Moment;

/// Which messages to deliver again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointReplayIn {
    /// Published at this moment or later.
    since: Moment,
    /// Published before this moment; now if left out.
    until: Option<Moment>,
    /// Only these event types.
    event_types: Option<Vec<String>>,
    /// Only messages with this channel.
    channel: Option<String>,
    /// Only messages with this tag.
    tag: Option<String>,
    /// `bulk-replay` only: deliveries that ended so. 0 success, 2 fail, 4 canceled.
    #[schema(value_type = Option<Status>)]
    status: Option<u8>,
    /// Only deliveries whose last answer was of this class: 100, 200, 300, 400 or 500.
    #[schema(value_type = Option<u16>)]
    status_code_class: Option<StatusCodeClass>,
}

/// A task that was started. `GET /api/v1/background-task/{id}` tells how far it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedTaskOut {
    #[schema(example = "qtask_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    status: &'static str,
    task: &'static str,
    updated_at: Moment,
}

impl From<Task> for StartedTaskOut {
    fn from(task: Task) -> Self {
        Self {
            id: task.id.to_string(),
            status: TaskStatus::Running.as_str(),
            task: task.work.kind(),
            updated_at: Moment(task.updated_at),
        }
    }
}

impl EndpointReplayIn {
    pub(super) async fn start(
        self,
        kind: Kind,
        app: &App,
        endpoint: &Endpoint,
        state: &AppState,
        caller: &Caller,
    ) -> Result<(StatusCode, Json<StartedTaskOut>)> {
        let now = state.store.clock().now();
        let (since, until) = wish::span(self.since, self.until, now)?;
        let selection = Selection {
            state: self.status.map(wish::ended_as).transpose()?,
            event_types: self.event_types.unwrap_or_default(),
            channel: self.channel,
            tag: self.tag,
            status_code_class: self.status_code_class.map(|class| class.0),
            ..Selection::new(app.id, since, until).at(endpoint.id)
        };
        wish::check_names(&selection)?;
        let (_, task) =
            wish::start(&state.store, NewReplay::new(kind, selection), &caller.actor()).await?;
        Ok((StatusCode::ACCEPTED, Json(task.into())))
    }
}
