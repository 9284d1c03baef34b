use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::wish::{EventTypePatch, EventTypeUpdate, new_event_type};
use super::{EventTypeName, EventTypeOut};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::{Code, Problem, ProblemDocument, Result};

/// Update an event type, or create it under the name in the path
#[utoipa::path(
    put, path = "/api/v1/event-type/{event_type}", operation_id = "v1.event-type.update",
    tag = "Event type",
    params(("event_type" = String, Path, description = "The event type's name")),
    request_body = EventTypeUpdate,
    responses(
        (status = 200, body = EventTypeOut),
        (status = 201, body = EventTypeOut, description = "It was created"),
        (status = 409, body = ProblemDocument, description = "Created at the same moment"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    caller: Caller,
    EventTypeName(name): EventTypeName,
    Body(wish): Body<EventTypeUpdate>,
) -> Result<(StatusCode, Json<EventTypeOut>)> {
    if let Some(known) = state.store.event_type(&name).await? {
        let event_type = EventTypePatch::from(wish).apply(known, &state)?;
        state.store.update_event_type(&event_type, &caller.actor()).await?;
        return Ok((StatusCode::OK, Json(event_type.into())));
    }
    let event_type = new_event_type(&state, name, wish)?;
    if !state.store.insert_event_type(&event_type, &caller.actor()).await? {
        let why = "Another request created this event type just now. Send this one again.";
        return Err(Problem::new(Code::Conflict, why));
    }
    Ok((StatusCode::CREATED, Json(event_type.into())))
}
