use axum::extract::State;
use axum::http::StatusCode;

use crate::AppState;
use crate::access::Caller;
use crate::extract::InMessage;
use crate::problem::{ProblemDocument, Result};

/// Erase a message's payload
///
/// The message and its attempts stay. Deliveries that are still to be made will fail.
#[utoipa::path(
    delete, path = "/api/v1/app/{app}/msg/{msg}/content",
    operation_id = "v1.message.expunge-content", tag = "Message",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or eventId"),
    ),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete_content(
    State(state): State<AppState>,
    caller: Caller,
    InMessage(app, message): InMessage,
) -> Result<StatusCode> {
    state.store.erase_payload(app.id, message.id, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
