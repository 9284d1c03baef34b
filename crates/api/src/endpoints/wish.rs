//! What a caller wishes an endpoint to be, and whether it may be that.
//!
//! A whole wish is a partial one that leaves nothing out, but for what has a path of its own:
//! headers and secret stay unless they are given.

use std::collections::BTreeMap;

use model::endpoint::{Disabled, DisabledReason, Endpoint};
use model::name::{self, BadName};
use model::target::TargetPolicy;
use model::{EndpointId, Timestamp, filter};
use serde::Deserialize;
use utoipa::ToSchema;

use super::BodySignatureShape;
use super::secret::SecretText;
use crate::AppState;
use crate::patch::{self, Field};
use crate::problem::{Code, Problem, Result};
use crate::retry_seconds;

type Map = BTreeMap<String, String>;

const MAX_THROTTLE_RATE: u32 = 1_000_000;
const MAX_IN_FLIGHT: u32 = 10_000;

// No `Debug`: headers may be credentials.
/// An endpoint to be made, or what it shall be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointIn {
    #[schema(example = "https://example.com/hooks")]
    url: String,
    description: Option<String>,
    /// Your own name for it within the application, usable wherever its id is.
    pub(super) uid: Option<String>,
    /// A disabled endpoint gets no new deliveries; those it has are kept.
    disabled: Option<bool>,
    /// Exact, or with a wildcard at the end as in `contact.*`. All if left out.
    #[schema(example = json!(["contact.created", "property.*"]))]
    event_types: Option<Vec<String>>,
    /// What `eventTypes` was called.
    #[schema(deprecated)]
    filter_types: Option<Vec<String>>,
    /// Only messages with one of these channels. All if left out.
    channels: Option<Vec<String>>,
    /// Deliveries per second at the most.
    throttle_rate: Option<u32>,
    /// What `throttleRate` was called.
    #[schema(deprecated)]
    rate_limit: Option<u32>,
    /// `whsec_` or `whsk_` with base64; generated if left out.
    #[schema(value_type = Option<String>)]
    pub(super) secret: Option<SecretText>,
    metadata: Option<Map>,
    /// Sent with every delivery.
    headers: Option<Map>,
    /// Deliveries under way at one time at the most.
    max_in_flight: Option<u32>,
    /// The delay before each attempt, in seconds; the event type's or the instance's if left out.
    #[schema(example = json!([0, 1, 5, 15]))]
    retry_schedule: Option<Vec<f64>>,
    body_signature: Option<BodySignatureShape>,
}

// No `Debug`: headers may be credentials.
/// What shall change; an absent field stays, `null` clears it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointPatch {
    url: Option<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    description: Field<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    uid: Field<String>,
    disabled: Option<bool>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Vec<String>>)]
    event_types: Field<Vec<String>>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Vec<String>>, deprecated)]
    filter_types: Field<Vec<String>>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Vec<String>>)]
    channels: Field<Vec<String>>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<u32>)]
    throttle_rate: Field<u32>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<u32>, deprecated)]
    rate_limit: Field<u32>,
    /// Takes the place of the one before at once. To change it without failing deliveries, rotate.
    #[schema(value_type = Option<String>)]
    pub(super) secret: Option<SecretText>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Map>)]
    metadata: Field<Map>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Map>)]
    headers: Field<Map>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<u32>)]
    max_in_flight: Field<u32>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Vec<f64>>)]
    retry_schedule: Field<Vec<f64>>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<BodySignatureShape>)]
    body_signature: Field<BodySignatureShape>,
}

impl From<EndpointIn> for EndpointPatch {
    fn from(wish: EndpointIn) -> Self {
        Self {
            url: Some(wish.url),
            description: Some(wish.description),
            uid: Some(wish.uid),
            disabled: Some(wish.disabled.unwrap_or(false)),
            event_types: Some(wish.event_types.or(wish.filter_types)),
            filter_types: None,
            channels: Some(wish.channels),
            throttle_rate: Some(wish.throttle_rate.or(wish.rate_limit)),
            rate_limit: None,
            secret: wish.secret,
            metadata: Some(wish.metadata),
            headers: wish.headers.map(Some),
            max_in_flight: Some(wish.max_in_flight),
            retry_schedule: Some(wish.retry_schedule),
            body_signature: Some(wish.body_signature),
        }
    }
}

impl EndpointPatch {
    /// The endpoint as wished. The secret is the caller's to put in place.
    pub(super) fn apply(self, mut endpoint: Endpoint, state: &AppState) -> Result<Endpoint> {
        let now = state.store.clock().now();
        if let Some(url) = self.url {
            endpoint.url = judged(&url, &state.options.targets)?;
        }
        if let Some(description) = self.description {
            endpoint.description = description.unwrap_or_default();
        }
        if let Some(event_types) = self.event_types.or(self.filter_types) {
            endpoint.filter.event_types = patterns(event_types)?;
        }
        if let Some(channels) = self.channels {
            endpoint.filter.channels = checked_channels(channels)?;
        }
        if let Some(disabled) = self.disabled {
            endpoint.disabled = switched(endpoint.disabled, disabled, now);
        }
        if let Some(delays) = self.retry_schedule {
            endpoint.retry_schedule = delays.as_deref().map(retry_seconds::read).transpose()?;
        }
        if let Some(signature) = self.body_signature {
            endpoint.body_signature = signature.map(Into::into);
        }
        if let Some(headers) = self.headers {
            endpoint.headers = headers.unwrap_or_default();
        }
        if let Some(metadata) = self.metadata {
            endpoint.metadata = metadata.unwrap_or_default();
        }
        let throttle_rate = self.throttle_rate.or(self.rate_limit);
        endpoint.throttle_rate = throttle_rate.unwrap_or(endpoint.throttle_rate);
        endpoint.max_in_flight = self.max_in_flight.unwrap_or(endpoint.max_in_flight);
        endpoint.uid = self.uid.unwrap_or(endpoint.uid);
        endpoint.updated_at = now;
        check(&endpoint)?;
        Ok(endpoint)
    }
}

/// The form of a URL to store.
fn judged(url: &str, targets: &TargetPolicy) -> Result<String> {
    targets.judge_url(url).map(String::from).map_err(|refusal| {
        let code = Code::TargetRefused;
        Problem::new(code, "").with_field(&["body", "url"], refusal, code.as_str())
    })
}

/// Wished event types; none means all.
fn patterns(wished: Option<Vec<String>>) -> Result<Vec<String>> {
    let Some(patterns) = wished else { return Ok(Vec::new()) };
    let max = name::MAX_EVENT_TYPES_PER_ENDPOINT;
    if patterns.is_empty() || patterns.len() > max {
        let why = format!("must have 1 to {max} entries; leave it out for all event types");
        return Err(Problem::field("eventTypes", why));
    }
    let bad = |error: BadName| {
        Problem::field("eventTypes", format!("{error}; a wildcard stands at the end: contact.*"))
    };
    patterns.iter().try_for_each(|pattern| filter::check_pattern(pattern)).map_err(bad)?;
    Ok(patterns)
}

fn checked_channels(wished: Option<Vec<String>>) -> Result<Vec<String>> {
    let Some(channels) = wished else { return Ok(Vec::new()) };
    name::check_channels(&channels, name::MAX_ENDPOINT_CHANNELS)
        .map_err(|error| Problem::field("channels", error))?;
    Ok(channels)
}

/// Who and when stays as it was if it was disabled already.
fn switched(before: Option<Disabled>, disabled: bool, now: Timestamp) -> Option<Disabled> {
    if !disabled {
        return None;
    }
    before.or(Some(Disabled::new(now, DisabledReason::ByHand)))
}

/// Whether an endpoint may be stored; its URL, filter and schedule were checked as they came.
pub(super) fn check(endpoint: &Endpoint) -> Result<()> {
    let bad = |field: &str, error: BadName| Problem::field(field, error);
    name::check_text(&endpoint.description).map_err(|e| bad("description", e))?;
    if let Some(uid) = &endpoint.uid {
        name::check_uid(uid, EndpointId::PREFIX).map_err(|e| bad("uid", e))?;
    }
    check_limit("throttleRate", endpoint.throttle_rate, MAX_THROTTLE_RATE)?;
    check_limit("maxInFlight", endpoint.max_in_flight, MAX_IN_FLIGHT)?;
    name::check_metadata(&endpoint.metadata).map_err(|e| bad("metadata", e))?;
    name::check_headers(&endpoint.headers).map_err(|e| bad("headers", e))?;
    let Some(signature) = &endpoint.body_signature else { return Ok(()) };
    name::check_header_name(&signature.header).map_err(|e| bad("bodySignature", e))?;
    if endpoint.headers.keys().any(|name| name.eq_ignore_ascii_case(&signature.header)) {
        let why = "must not be one of the endpoint's own headers";
        return Err(Problem::at(&["body", "bodySignature", "header"], why));
    }
    Ok(())
}

fn check_limit(field: &str, limit: Option<u32>, max: u32) -> Result<()> {
    match limit {
        Some(limit) if limit == 0 || limit > max => {
            Err(Problem::field(field, format!("must be 1 to {max}, or null for no limit")))
        }
        _ => Ok(()),
    }
}
