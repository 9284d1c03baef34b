use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::NamedEventType;
use crate::AppState;
use crate::access::Caller;
use crate::extract::Query;
use crate::problem::{ProblemDocument, Result};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// Delete it for good instead of archiving it.
    #[serde(default)]
    expunge: bool,
}

/// Archive an event type
///
/// Messages of it are still accepted and delivered; it is only no longer offered.
#[utoipa::path(
    delete, path = "/api/v1/event-type/{event_type}", operation_id = "v1.event-type.delete",
    tag = "Event type",
    params(("event_type" = String, Path, description = "The event type's name"), DeleteQuery),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    NamedEventType(mut event_type): NamedEventType,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode> {
    if query.expunge {
        state.store.delete_event_type(&event_type.name, &caller.actor()).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    event_type.archived = true;
    event_type.updated_at = state.store.clock().now();
    state.store.update_event_type(&event_type, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
