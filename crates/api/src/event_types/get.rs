use axum::Json;

use super::{EventTypeOut, NamedEventType};
use crate::problem::ProblemDocument;

/// Get an event type
#[utoipa::path(
    get, path = "/api/v1/event-type/{event_type}", operation_id = "v1.event-type.get",
    tag = "Event type",
    params(("event_type" = String, Path, description = "The event type's name")),
    responses((status = 200, body = EventTypeOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(NamedEventType(event_type): NamedEventType) -> Json<EventTypeOut> {
    Json(event_type.into())
}
