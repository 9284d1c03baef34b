use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::extract::{InEndpoint, InMessage};
use crate::problem::{Code, Problem, ProblemDocument, Result};

/// Nothing to say.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmptyOut {}

/// Send a message to an endpoint once more
///
/// Makes a new delivery with a schedule of its own; what is already under way is not touched.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/msg/{msg}/endpoint/{endpoint}/resend",
    operation_id = "v1.message-attempt.resend", tag = "Message attempt",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or eventId"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses(
        (status = 202, body = EmptyOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument,
            description = "The endpoint is disabled, or the payload was erased"),
    ),
)]
pub async fn resend(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
    InMessage(_app, message): InMessage,
) -> Result<(StatusCode, Json<EmptyOut>)> {
    if endpoint.disabled.is_some() {
        return Err(Problem::new(
            Code::EndpointDisabled,
            "Nothing would be sent: the endpoint is disabled. Enable it first.",
        ));
    }
    if message.payload.is_none() {
        return Err(Problem::new(
            Code::PayloadErased,
            "There is nothing to send: the message's payload was erased.",
        ));
    }
    state.store.resend(app.id, endpoint.id, message.id, &caller.actor()).await?;
    Ok((StatusCode::ACCEPTED, Json(EmptyOut {})))
}
