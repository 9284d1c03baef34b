//! Endpoints: the URLs of an app, and how each wants its messages.
//!
//! [`wish`] holds what a caller may ask for and whether it may be had; every file that changes an
//! endpoint goes through it. Headers and secrets can hold credentials: the store seals them, and
//! they are answered only at paths of their own.

pub mod breaker;
pub mod bulk_replay;
pub mod create;
pub mod delete;
pub mod disable;
pub mod enable;
pub mod get;
pub mod get_headers;
pub mod get_secret;
pub mod list;
pub mod patch;
pub mod patch_headers;
pub mod pause;
pub mod put;
pub mod put_headers;
pub mod recover;
pub mod replay_missing;
pub mod resume;
pub mod revoke_secret;
pub mod rotate_secret;
mod sample;
pub(crate) mod secret;
pub mod secret_check;
pub mod secret_history;
pub mod secret_jwks;
pub mod secret_policy;
pub mod selection;
pub mod send_example;
pub mod stats;
pub mod wish;

use std::collections::BTreeMap;

use model::Timestamp;
use model::endpoint::{BodySignature, Endpoint};
use serde::{Deserialize, Serialize};
use serde_json::Number;
use store::{Gate, Hold};
use utoipa::ToSchema;

use crate::problem::{Code, Problem};
use crate::retry_seconds;
use crate::wire::Moment;

/// Clients of the delivery contract want one; it never changes.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointOut {
    #[schema(example = "ep_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    pub id: String,
    pub url: String,
    pub description: String,
    pub uid: Option<String>,
    /// Whether it gets no new deliveries; those it has are kept.
    pub disabled: bool,
    /// `by_hand`, `gone` when the receiver answered 410, or `failing` when it failed for too long.
    pub disabled_reason: Option<&'static str>,
    /// Why, in the words of whoever disabled it.
    pub disabled_note: Option<String>,
    pub disabled_at: Option<Moment>,
    /// Since when deliveries are held.
    pub paused_at: Option<Moment>,
    /// Null means all.
    pub event_types: Option<Vec<String>>,
    /// The same as `eventTypes`, for older clients.
    #[schema(deprecated)]
    pub filter_types: Option<Vec<String>>,
    /// Null means all.
    pub channels: Option<Vec<String>>,
    /// Deliveries per second at the most.
    pub throttle_rate: Option<u32>,
    /// The same as `throttleRate`, for older clients.
    #[schema(deprecated)]
    pub rate_limit: Option<u32>,
    /// Deliveries under way at one time at the most.
    pub max_in_flight: Option<u32>,
    /// The delay before each attempt, in seconds.
    #[schema(value_type = Option<Vec<f64>>)]
    pub retry_schedule: Option<Vec<Number>>,
    pub body_signature: Option<BodySignatureShape>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Moment,
    pub updated_at: Moment,
    #[schema(deprecated)]
    pub version: u32,
    /// What holds its deliveries for a time. Told where one endpoint is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<EndpointHoldOut>,
}

/// What holds the deliveries of an endpoint that is neither disabled nor paused.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHoldOut {
    /// `breaker` or `window`.
    pub why: &'static str,
    /// None: until somebody acts.
    pub until: Option<Moment>,
}

impl EndpointHoldOut {
    fn of(gate: Gate) -> Option<Self> {
        match gate {
            Gate::Held { until, why: why @ (Hold::Breaker | Hold::Window) } => {
                let until = (until != Timestamp::NEVER).then_some(Moment(until));
                Some(Self { why: why.as_str(), until })
            }
            Gate::Held { .. } | Gate::Open | Gate::Probe => None,
        }
    }
}

/// A second signature, for receivers that migrate: `sha256=<hex>`, an HMAC over the body alone.
/// It needs a `whsec_` secret.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = BodySignature)]
pub struct BodySignatureShape {
    /// The header that carries it.
    #[schema(example = "X-Hub-Signature-256")]
    pub header: String,
}

impl From<Endpoint> for EndpointOut {
    fn from(endpoint: Endpoint) -> Self {
        let list = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let disabled = endpoint.disabled;
        let event_types = list(endpoint.filter.event_types);
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url,
            description: endpoint.description,
            uid: endpoint.uid,
            disabled: disabled.is_some(),
            disabled_reason: disabled.as_ref().map(|disabled| disabled.reason.as_str()),
            disabled_note: disabled.as_ref().and_then(|disabled| disabled.note.clone()),
            disabled_at: disabled.map(|disabled| Moment(disabled.at)),
            paused_at: endpoint.paused_at.map(Moment),
            filter_types: event_types.clone(),
            event_types,
            channels: list(endpoint.filter.channels),
            throttle_rate: endpoint.throttle_rate,
            rate_limit: endpoint.throttle_rate,
            max_in_flight: endpoint.max_in_flight,
            retry_schedule: endpoint.retry_schedule.as_ref().map(retry_seconds::write),
            body_signature: endpoint.body_signature.map(Into::into),
            metadata: endpoint.metadata,
            created_at: Moment(endpoint.created_at),
            updated_at: Moment(endpoint.updated_at),
            version: VERSION,
            held: None,
        }
    }
}

impl From<BodySignature> for BodySignatureShape {
    fn from(signature: BodySignature) -> Self {
        Self { header: signature.header }
    }
}

impl From<BodySignatureShape> for BodySignature {
    fn from(signature: BodySignatureShape) -> Self {
        Self { header: signature.header }
    }
}

fn uid_taken() -> Problem {
    Problem::new(Code::Conflict, "Another endpoint of the application has this uid.")
}
