//! Messages: published once, delivered to every endpoint of the app that wants them.

pub mod create;
pub mod create_batch;
pub mod delete_content;
pub mod explain;
mod explanation;
pub mod get;
pub mod list;
pub mod precheck;
mod publish;
pub mod resend;

pub(crate) use publish::idempotency_key;

use std::collections::BTreeMap;

use model::message::Message;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::apps::ApplicationIn;
use crate::wire::Moment;

/// A message to be published. This is the shape for people and for the OpenAPI document;
/// [`publish`] reads the same fields without copying the payload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "describes what `publish` reads")]
pub struct MessageIn {
    #[schema(example = "contact.created")]
    event_type: String,
    /// Any JSON. Its bytes are stored, signed and sent exactly as they came.
    #[schema(value_type = Object, example = json!({"id": 7, "name": "Ada"}))]
    payload: serde_json::Value,
    /// Your own id for the event; used again within the application it answers 409.
    event_id: Option<String>,
    /// Only endpoints with one of these channels, or with none, get it.
    channels: Option<Vec<String>>,
    /// Free labels to search by.
    tags: Option<Vec<String>>,
    /// Not before this moment.
    deliver_at: Option<Moment>,
    /// Hours after which the payload is erased.
    payload_retention_hours: Option<u32>,
    /// Days after which the payload is erased.
    payload_retention_period: Option<u32>,
    /// Create this application first if there is none with the uid in the path.
    application: Option<ApplicationIn>,
    transformations_params: Option<TransformationsParams>,
}

/// How to publish what is not JSON.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransformationsParams {
    /// Sent as it is, instead of `payload`.
    #[serde(default)]
    raw_payload: Option<String>,
    /// Only `content-type` is read.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// A message as it is answered. The payload is the caller's own bytes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageOut {
    pub id: String,
    pub event_type: String,
    #[schema(value_type = Object)]
    pub payload: Box<serde_json::value::RawValue>,
    pub event_id: Option<String>,
    pub channels: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
    pub deliver_at: Option<Moment>,
    pub timestamp: Moment,
    /// Of content that is not JSON; `payload` is empty then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Content that is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_payload: Option<String>,
    /// What publishing found: `fanned_out`, `no_match` or `all_disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// The message that this one was made of, for one endpoint: a resend under a new id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// Of such a message: whether its payload is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
}

impl From<Message> for MessageOut {
    fn from(message: Message) -> Self {
        let is_json = publish::is_json(message.content_type.as_deref());
        let (json, raw) = if is_json { (message.payload, None) } else { (None, message.payload) };
        let list = |list: Vec<String>| (!list.is_empty()).then_some(list);
        Self {
            id: message.id.to_string(),
            event_type: message.event_type,
            payload: publish::raw_json(json.as_deref()).to_owned(),
            event_id: message.event_id,
            channels: list(message.channels),
            tags: list(message.tags),
            deliver_at: message.deliver_at.map(Moment),
            timestamp: Moment(message.created_at),
            content_type: message.content_type,
            raw_payload: raw.map(|raw| String::from_utf8_lossy(&raw).into_owned()),
            outcome: Some(message.outcome.as_str()),
            changed: message.replay_of.map(|_| message.changed),
            replay_of: message.replay_of.map(|id| id.to_string()),
        }
    }
}

/// Whether a payload comes along.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ContentQuery {
    /// Whether payloads and responses come along.
    #[serde(default = "yes")]
    #[param(default = true)]
    pub with_content: bool,
}

/// A default of serde's.
pub(crate) const fn yes() -> bool {
    true
}
