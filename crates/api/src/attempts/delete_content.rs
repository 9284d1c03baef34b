use axum::extract::State;
use axum::http::StatusCode;

use super::InAttempt;
use crate::AppState;
use crate::access::Caller;
use crate::problem::{ProblemDocument, Result};

/// Erase the response that an attempt kept
#[utoipa::path(
    delete, path = "/api/v1/app/{app}/msg/{msg}/attempt/{attempt}/content",
    operation_id = "v1.message-attempt.expunge-content", tag = "Message attempt",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or eventId"),
        ("attempt" = String, Path, description = "The attempt's id"),
    ),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete_content(
    State(state): State<AppState>,
    caller: Caller,
    InAttempt(app, attempt): InAttempt,
) -> Result<StatusCode> {
    state.store.erase_response(app.id, attempt.id, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
