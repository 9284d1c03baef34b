//! From a request's bytes to a message for the store, and back to an answer. The payload is a
//! slice of the request, never parsed into a value and written again.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::HeaderMap;
use model::{Timestamp, name};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::{AppRef, NewMessage, Published};

use super::TransformationsParams;
use crate::AppState;
use crate::apps::ApplicationIn;
use crate::problem::{Code, Problem, Result};
use crate::wire::Moment;

const HOUR_MS: u64 = 3_600_000;
const MAX_RETENTION_HOURS: u32 = 365 * 24;
/// How far ahead a delivery may be scheduled.
const MAX_DELAY_MS: u64 = 365 * 24 * HOUR_MS;
const MAX_IDEMPOTENCY_KEY_LEN: usize = 256;
const MAX_CONTENT_TYPE_LEN: usize = 128;

/// What a caller publishes, borrowed from the body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish<'a> {
    event_type: String,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(default)]
    event_id: Option<String>,
    #[serde(default)]
    channels: Option<Vec<String>>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    deliver_at: Option<Moment>,
    #[serde(default)]
    payload_retention_hours: Option<u32>,
    #[serde(default)]
    payload_retention_period: Option<u32>,
    #[serde(default)]
    pub application: Option<ApplicationIn>,
    #[serde(default)]
    transformations_params: Option<TransformationsParams>,
}

impl Wish<'_> {
    /// The message for the store; `body` is what the wish was read from.
    pub fn message(self, state: &AppState, app: AppRef, body: &Bytes) -> Result<NewMessage> {
        let now = state.store.clock().now();
        self.check(now)?;
        let (payload, content_type) = self.content(body)?;
        let limit = state.options.max_payload_bytes;
        if payload.len() > limit {
            return Err(Problem::new(
                Code::PayloadTooLarge,
                format!("The payload has {} bytes; at most {limit} are allowed.", payload.len()),
            ));
        }
        let hours = self.payload_retention_hours.or(self.payload_retention_period.map(|d| d * 24));
        Ok(NewMessage {
            app,
            event_type: self.event_type,
            event_id: self.event_id,
            payload,
            content_type,
            channels: self.channels.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            deliver_at: self.deliver_at.map(|moment| moment.0),
            payload_retention_ms: hours.map(|hours| u64::from(hours) * HOUR_MS),
            idempotency_key: None,
            only_endpoint: None,
        })
    }

    fn check(&self, now: Timestamp) -> Result<()> {
        let bad = |field: &str, error: name::BadName| Problem::field(field, error);
        name::check_name(&self.event_type, name::MAX_NAME_LEN).map_err(|e| bad("eventType", e))?;
        if let Some(event_id) = &self.event_id {
            name::check_uid(event_id, model::MessageId::PREFIX).map_err(|e| bad("eventId", e))?;
        }
        if let Some(channels) = &self.channels {
            name::check_channels(channels, name::MAX_MESSAGE_CHANNELS)
                .map_err(|e| bad("channels", e))?;
        }
        if let Some(tags) = &self.tags {
            name::check_tags(tags).map_err(|e| bad("tags", e))?;
        }
        if self.deliver_at.is_some_and(|moment| moment.0 > now.plus_ms(MAX_DELAY_MS)) {
            return Err(Problem::field("deliverAt", "must lie within a year"));
        }
        check_hours("payloadRetentionHours", self.payload_retention_hours, 1)?;
        check_hours("payloadRetentionPeriod", self.payload_retention_period, 24)
    }

    /// The payload's bytes, and their content type if it is not JSON.
    fn content(&self, body: &Bytes) -> Result<(Bytes, Option<String>)> {
        let params = self.transformations_params.as_ref();
        let Some(raw) = params.and_then(|params| params.raw_payload.as_ref()) else {
            return Ok((body.slice_ref(self.payload.get().as_bytes()), None));
        };
        let headers = params.map(|params| &params.headers);
        let content_type = headers.and_then(content_type_of).map(str::to_owned);
        if let Some(content_type) = &content_type {
            check_content_type(content_type)?;
        }
        if is_json(content_type.as_deref()) && serde_json::from_str::<&RawValue>(raw).is_err() {
            return Err(Problem::new(
                Code::InvalidJson,
                "transformationsParams.rawPayload is not valid JSON. For other content, declare \
                 it: transformationsParams.headers = {\"content-type\": \"text/plain\"}.",
            ));
        }
        Ok((Bytes::copy_from_slice(raw.as_bytes()), content_type))
    }
}

/// Nothing declared means JSON.
pub(super) fn is_json(content_type: Option<&str>) -> bool {
    content_type.is_none_or(|text| text.contains("json"))
}

fn content_type_of(headers: &BTreeMap<String, String>) -> Option<&str> {
    let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    found.map(|(_, value)| value.as_str())
}

fn check_content_type(text: &str) -> Result<()> {
    let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if printable && text.contains('/') && text.len() <= MAX_CONTENT_TYPE_LEN {
        return Ok(());
    }
    let place = ["body", "transformationsParams", "headers", "content-type"];
    Err(Problem::at(&place, "must be a media type such as text/plain"))
}

fn check_hours(field: &str, given: Option<u32>, hours_each: u32) -> Result<()> {
    let max = MAX_RETENTION_HOURS / hours_each;
    match given {
        Some(n) if n == 0 || n > max => Err(Problem::field(field, format!("must be 1 to {max}"))),
        _ => Ok(()),
    }
}

/// The `Idempotency-Key` of a request: the draft's quoted string, or bare as clients send it.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    if text.is_empty() || text.len() > MAX_IDEMPOTENCY_KEY_LEN {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY_LEN} ASCII characters."),
        ));
    }
    Ok(Some(text.to_owned()))
}

/// The answer to a message that was published.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    id: model::MessageId,
    event_type: &'a str,
    payload: &'a RawValue,
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    channels: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    deliver_at: Option<Moment>,
    timestamp: Moment,
}

/// What is needed of a message after the store took it.
#[derive(Debug)]
pub(super) struct Echo {
    event_type: String,
    event_id: Option<String>,
    channels: Vec<String>,
    tags: Vec<String>,
    deliver_at: Option<Timestamp>,
    /// None when the caller does not want it back, or it is no JSON.
    payload: Option<Bytes>,
}

impl Echo {
    pub fn of(message: &NewMessage, with_content: bool) -> Self {
        let json = is_json(message.content_type.as_deref());
        Self {
            event_type: message.event_type.clone(),
            event_id: message.event_id.clone(),
            channels: message.channels.clone(),
            tags: message.tags.clone(),
            deliver_at: message.deliver_at,
            payload: (with_content && json).then(|| message.payload.clone()),
        }
    }

    pub fn answer(&self, published: &Published) -> Answer<'_> {
        Answer {
            id: published.id,
            event_type: &self.event_type,
            payload: raw_json(self.payload.as_deref()),
            event_id: self.event_id.as_deref(),
            channels: &self.channels,
            tags: &self.tags,
            deliver_at: self.deliver_at.map(Moment),
            timestamp: Moment(published.created_at),
        }
    }
}

/// Bytes that were accepted as JSON, as JSON; `{}` where there are none to show.
pub(super) fn raw_json(payload: Option<&[u8]>) -> &RawValue {
    payload
        .and_then(|payload| serde_json::from_slice::<&RawValue>(payload).ok())
        .or_else(|| serde_json::from_str("{}").ok())
        .unwrap_or(RawValue::NULL)
}
