use axum::Json;
use axum::extract::State;

use super::wish::EventTypePatch;
use super::{EventTypeOut, NamedEventType};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::{ProblemDocument, Result};

/// Change parts of an event type
#[utoipa::path(
    patch, path = "/api/v1/event-type/{event_type}", operation_id = "v1.event-type.patch",
    tag = "Event type",
    params(("event_type" = String, Path, description = "The event type's name")),
    request_body = EventTypePatch,
    responses(
        (status = 200, body = EventTypeOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch(
    State(state): State<AppState>,
    caller: Caller,
    NamedEventType(event_type): NamedEventType,
    Body(wish): Body<EventTypePatch>,
) -> Result<Json<EventTypeOut>> {
    let event_type = wish.apply(event_type, &state)?;
    state.store.update_event_type(&event_type, &caller.actor()).await?;
    Ok(Json(event_type.into()))
}
