//! What the log shows of a noun: everything but secrets, header values and payloads; and the name
//! of what was done to it.

use model::app::App;
use model::delivery::State;
use model::endpoint::Endpoint;
use model::event_type::EventType;
use model::replay::Replay;
use model::task::{Task, TaskStatus};
use serde_json::{Map, Value, json};

use crate::replays::{Child, Resend};

/// In place of a value that the log must not hold.
const REDACTED: &str = "[redacted]";

pub(crate) fn app(app: &App) -> Value {
    json!({
        "uid": app.uid,
        "name": app.name,
        "throttleRate": app.throttle_rate,
        "metadata": app.metadata,
        "createdAt": app.created_at.0,
        "updatedAt": app.updated_at.0,
    })
}

pub(crate) fn endpoint(endpoint: &Endpoint) -> Value {
    let headers = endpoint.headers.keys().map(|name| (name.clone(), REDACTED.into()));
    let disabled = endpoint.disabled.as_ref();
    json!({
        "uid": endpoint.uid,
        "url": endpoint.url,
        "description": endpoint.description,
        "eventTypes": endpoint.filter.event_types,
        "channels": endpoint.filter.channels,
        "throttleRate": endpoint.throttle_rate,
        "maxInFlight": endpoint.max_in_flight,
        "metadata": endpoint.metadata,
        "headers": headers.collect::<Map<String, Value>>(),
        "disabledAt": disabled.map(|disabled| disabled.at.0),
        "disabledReason": disabled.map(|disabled| disabled.reason.as_str()),
        "disabledNote": disabled.and_then(|disabled| disabled.note.as_ref()),
        "pausedAt": endpoint.paused_at.map(|at| at.0),
        "retrySchedule": endpoint.retry_schedule.as_ref().map(ToString::to_string),
        "bodySignature": endpoint.body_signature,
        "createdAt": endpoint.created_at.0,
        "updatedAt": endpoint.updated_at.0,
    })
}

pub(crate) fn event_type(event_type: &EventType) -> Value {
    json!({
        "id": event_type.id.as_str(),
        "description": event_type.description,
        "archived": event_type.archived,
        "deprecated": event_type.deprecated,
        "schemas": event_type.schemas,
        "featureFlags": event_type.feature_flags,
        "groupName": event_type.group_name,
        "retrySchedule": event_type.retry_schedule.as_ref().map(ToString::to_string),
        "createdAt": event_type.created_at.0,
        "updatedAt": event_type.updated_at.0,
    })
}

pub(crate) fn task(task: &Task) -> Value {
    json!({ "status": task.status, "work": task.work })
}

pub(crate) fn replay(replay: &Replay, task: &Task) -> Value {
    json!({
        "kind": replay.kind,
        "reason": replay.reason,
        "taskId": task.id.as_str(),
        "work": task.work,
    })
}

pub(crate) fn resend(child: &Child, wish: &Resend) -> Value {
    json!({
        "replayId": child.replay_id,
        "messageId": child.message_id.as_str(),
        "endpointId": child.endpoint_id.as_str(),
        "parentId": child.parent.as_ref().map(|parent| parent.id.as_str()),
        "replayOf": wish.message_id.as_str(),
        "changed": wish.payload.is_some(),
        "reason": wish.reason,
    })
}

pub(crate) fn task_status(status: TaskStatus) -> Value {
    json!({ "status": status })
}

pub(crate) fn state(state: State) -> Value {
    json!({ "state": state.as_str() })
}

/// What an update of an endpoint was for. Of its headers only names are shown, so that a new value
/// would look like no change.
pub(crate) fn endpoint_verb(before: &Endpoint, after: &Endpoint) -> &'static str {
    let changes = [
        (before.headers != after.headers, "endpoint.set_headers"),
        (before.paused_at.is_none() && after.paused_at.is_some(), "endpoint.pause"),
        (before.paused_at.is_some() && after.paused_at.is_none(), "endpoint.resume"),
        (before.disabled.is_none() && after.disabled.is_some(), "endpoint.disable"),
        (before.disabled.is_some() && after.disabled.is_none(), "endpoint.enable"),
    ];
    let made = changes.iter().find(|(is_made, _)| *is_made);
    made.map_or("endpoint.update", |(_, verb)| verb)
}

pub(crate) fn event_type_verb(before: &EventType, after: &EventType) -> &'static str {
    match (before.archived, after.archived) {
        (false, true) => "event_type.archive",
        (true, false) => "event_type.restore",
        _ => "event_type.update",
    }
}
