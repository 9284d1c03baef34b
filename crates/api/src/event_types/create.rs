use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::EventTypeOut;
use super::wish::{EventTypeIn, new_event_type};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::{Code, Problem, ProblemDocument, Result};

/// Create an event type
///
/// One of the same name that is archived comes back as what is asked for.
#[utoipa::path(
    post, path = "/api/v1/event-type", operation_id = "v1.event-type.create", tag = "Event type",
    request_body = EventTypeIn,
    responses(
        (status = 201, body = EventTypeOut),
        (status = 409, body = ProblemDocument, description = "The name is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(wish): Body<EventTypeIn>,
) -> Result<(StatusCode, Json<EventTypeOut>)> {
    let mut event_type = new_event_type(&state, wish.name, wish.rest)?;
    if state.store.insert_event_type(&event_type, &caller.actor()).await? {
        return Ok((StatusCode::CREATED, Json(event_type.into())));
    }
    let known = state.store.event_type(&event_type.name).await?;
    let Some(known) = known.filter(|known| known.archived) else {
        return Err(Problem::new(Code::Conflict, "Another event type has this name."));
    };
    event_type.id = known.id;
    event_type.created_at = known.created_at;
    state.store.update_event_type(&event_type, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(event_type.into())))
}
