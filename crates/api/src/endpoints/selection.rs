//! Which messages a replay takes, and the task that makes it.

use model::app::App;
use model::delivery::State;
use model::endpoint::Endpoint;
use model::name::{self, BadName};
use model::task::{Selection, Task};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AppState;
use crate::problem::{Problem, Result};
use crate::query::StatusCodeClass;
use crate::status::Status;
use crate::wire::Moment;

/// Which messages to deliver again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayIn {
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
pub struct ReplayOut {
    #[schema(example = "qtask_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    status: &'static str,
    task: &'static str,
    updated_at: Moment,
}

impl From<Task> for ReplayOut {
    fn from(task: Task) -> Self {
        Self {
            id: task.id.to_string(),
            status: task.status.as_str(),
            task: task.work.kind(),
            updated_at: Moment(task.updated_at),
        }
    }
}

impl ReplayIn {
    pub(super) fn at(self, app: &App, endpoint: &Endpoint, state: &AppState) -> Result<Selection> {
        // The range leaves its end out; what was published just now is in it.
        let now = state.store.clock().now();
        let until = self.until.map_or_else(|| now.plus_ms(1), |until| until.0);
        if self.since.0 >= until {
            return Err(Problem::field("since", "must lie before until, which is now if left out"));
        }
        self.check_names()?;
        Ok(Selection {
            app_id: app.id,
            endpoint_id: endpoint.id,
            since: self.since.0,
            until,
            state: self.status.map(ended_as).transpose()?,
            event_types: self.event_types.unwrap_or_default(),
            channel: self.channel,
            tag: self.tag,
            status_code_class: self.status_code_class.map(|class| class.0),
        })
    }

    fn check_names(&self) -> Result<()> {
        let bad = |field: &'static str| move |error: BadName| Problem::field(field, error);
        let event_types = self.event_types.as_deref().unwrap_or_default();
        if event_types.len() > name::MAX_EVENT_TYPES_PER_ENDPOINT {
            let max = name::MAX_EVENT_TYPES_PER_ENDPOINT;
            return Err(Problem::field("eventTypes", format!("must have at most {max} entries")));
        }
        for event_type in event_types {
            name::check_name(event_type, name::MAX_NAME_LEN).map_err(bad("eventTypes"))?;
        }
        if let Some(channel) = &self.channel {
            name::check_name(channel, name::MAX_CHANNEL_LEN).map_err(bad("channel"))?;
        }
        if let Some(tag) = &self.tag {
            name::check_name(tag, name::MAX_CHANNEL_LEN).map_err(bad("tag"))?;
        }
        Ok(())
    }
}

/// The state's code of deliveries that are over.
fn ended_as(status: u8) -> Result<i16> {
    let state = match status {
        0 => State::Succeeded,
        2 => State::Failed,
        4 => State::Canceled,
        _ => {
            let why = "must be 0 (success), 2 (fail) or 4 (canceled): what is not over yet is \
                       delivered anyway";
            return Err(Problem::field("status", why));
        }
    };
    Ok(state.code())
}
