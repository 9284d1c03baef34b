use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use model::message::Message;
use model::replay::{MAX_DEPTH, MessageIdWish};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::Resend;
use utoipa::ToSchema;

use super::publish::is_json;
use crate::AppState;
use crate::access::Caller;
use crate::extract::{InEndpoint, InMessage, OptionalBody};
use crate::problem::{Code, Problem, ProblemDocument, Result};
use crate::replays::wish::check_text;

/// How to send it once more. Without a body: the same bytes under the same id.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResendIn {
    /// `keep` sends the id that the message has; `renew` makes a message of its own for this
    /// endpoint. A payload of its own makes one as well.
    #[schema(value_type = Option<String>, example = "keep")]
    message_id: Option<MessageIdWish>,
    /// Any JSON, instead of the message's own. Its bytes are sent exactly as they come.
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
    /// Why, for whoever reads the chain later.
    reason: Option<String>,
}

/// Nothing to say.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmptyOut {}

/// Send a message to an endpoint once more
///
/// Makes a new delivery with a schedule of its own; what is already under way is not touched. With
/// a new id or a changed payload it carries a message of its own, marked with what it was made of.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/msg/{msg}/endpoint/{endpoint}/resend",
    operation_id = "v1.message-attempt.resend", tag = "Message attempt",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or eventId"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = Option<ResendIn>,
    responses(
        (status = 202, body = EmptyOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument,
            description = "The endpoint is disabled, the payload was erased, or it was replayed \
                           too many times over"),
        (status = 413, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn resend(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
    InMessage(_app, message): InMessage,
    OptionalBody(wish): OptionalBody<ResendIn>,
) -> Result<(StatusCode, Json<EmptyOut>)> {
    if endpoint.disabled.is_some() {
        return Err(Problem::new(
            Code::EndpointDisabled,
            "Nothing would be sent: the endpoint is disabled. Enable it first.",
        ));
    }
    let payload = wish.payload_for(&message, state.options.max_payload_bytes)?;
    if message.payload.is_none() && payload.is_none() {
        return Err(Problem::new(
            Code::PayloadErased,
            "There is nothing to send: the message's payload was erased.",
        ));
    }
    let resend = Resend {
        id_wish: wish.message_id.unwrap_or_default(),
        payload,
        reason: wish.reason,
        ..Resend::new(app.id, endpoint.id, message.id)
    };
    let made = state.store.resend(&resend, &caller.actor()).await?;
    made.map(|_| (StatusCode::ACCEPTED, Json(EmptyOut {}))).ok_or_else(|| {
        Problem::new(
            Code::ChainTooLong,
            format!("Its chain has {MAX_DEPTH} replays, one of the other, and can grow no longer."),
        )
    })
}

impl ResendIn {
    fn payload_for(&self, message: &Message, limit: usize) -> Result<Option<Bytes>> {
        check_text("reason", self.reason.as_deref())?;
        let Some(payload) = &self.payload else { return Ok(None) };
        if self.message_id == Some(MessageIdWish::Keep) {
            let why = "must be renew, or left out: under one id there is one payload";
            return Err(Problem::field("messageId", why));
        }
        if !is_json(message.content_type.as_deref()) {
            return Err(Problem::field("payload", "is JSON, and the message is not"));
        }
        let bytes = payload.get().as_bytes();
        if bytes.len() > limit {
            return Err(Problem::new(
                Code::PayloadTooLarge,
                format!("The payload has {} bytes; at most {limit} are allowed.", bytes.len()),
            ));
        }
        Ok(Some(Bytes::copy_from_slice(bytes)))
    }
}
