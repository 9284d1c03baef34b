use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use model::app::App;
use model::endpoint::Endpoint;
use model::event_type::EventType;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use store::{NewMessage, Published};
use utoipa::ToSchema;

use super::sample;
use crate::AppState;
use crate::extract::{Body, InEndpoint};
use crate::messages::MessageOut;
use crate::problem::{Code, Problem, ProblemDocument, Result};
use crate::wire::Moment;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventExampleIn {
    #[schema(example = "contact.created")]
    event_type: String,
    /// Which of the schema's `examples`; the first if left out.
    example_index: Option<usize>,
}

/// Send an example of an event type to an endpoint
///
/// The example comes from the newest version of the event type's schema, or is made from it. It
/// goes to this endpoint only, whatever event types the endpoint wants.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/send-example",
    operation_id = "v1.endpoint.send-example", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = EventExampleIn,
    responses(
        (status = 202, body = MessageOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "The endpoint is disabled"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn send_example(
    State(state): State<AppState>,
    InEndpoint(app, endpoint): InEndpoint,
    Body(wish): Body<EventExampleIn>,
) -> Result<(StatusCode, Json<MessageOut>)> {
    if endpoint.disabled.is_some() {
        return Err(Problem::new(
            Code::EndpointDisabled,
            "Nothing would be sent: the endpoint is disabled. Enable it first.",
        ));
    }
    let event_type = state.store.event_type(&wish.event_type).await?;
    let event_type = event_type.ok_or_else(|| Problem::not_found("event type"))?;
    let payload = example(&event_type, wish.example_index)?;
    let published = state.store.ingest(message(&app, &endpoint, &event_type, &payload)).await?;
    Ok((StatusCode::ACCEPTED, Json(answer(event_type, payload, &published))))
}

fn example(event_type: &EventType, index: Option<usize>) -> Result<Box<RawValue>> {
    let example = sample::of(event_type, index.unwrap_or(0)).ok_or_else(|| {
        let why = "must be the index of one of the schema's examples, counted from 0";
        Problem::field("exampleIndex", why)
    })?;
    to_raw_value(&example)
        .map_err(|_| Problem::new(Code::Internal, "The example could not be written."))
}

fn message(
    app: &App,
    endpoint: &Endpoint,
    event_type: &EventType,
    payload: &RawValue,
) -> NewMessage {
    NewMessage {
        app: app.id.into(),
        event_type: event_type.name.clone(),
        event_id: None,
        payload: Bytes::copy_from_slice(payload.get().as_bytes()),
        content_type: None,
        channels: Vec::new(),
        tags: Vec::new(),
        deliver_at: None,
        payload_retention_ms: None,
        idempotency_key: None,
        only_endpoint: Some(endpoint.id),
    }
}

fn answer(event_type: EventType, payload: Box<RawValue>, published: &Published) -> MessageOut {
    MessageOut {
        id: published.id.to_string(),
        event_type: event_type.name,
        payload,
        event_id: None,
        channels: None,
        tags: None,
        deliver_at: None,
        timestamp: Moment(published.created_at),
        content_type: None,
        raw_payload: None,
        outcome: None,
        replay_of: None,
        changed: None,
    }
}
