//! An endpoint: a URL of an app that receives webhooks, and how it wants them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::filter::Filter;
use crate::retry::RetrySchedule;
use crate::{AppId, EndpointId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub id: EndpointId,
    pub app_id: AppId,
    pub uid: Option<String>,
    pub url: String,
    pub description: String,
    pub filter: Filter,
    /// Deliveries per second, at most.
    pub throttle_rate: Option<u32>,
    /// Deliveries under way at one time, at most; the instance's own maximum otherwise.
    pub max_in_flight: Option<u32>,
    pub metadata: BTreeMap<String, String>,
    /// Custom headers; encrypted at rest.
    pub headers: BTreeMap<String, String>,
    pub disabled: Option<Disabled>,
    /// Since when deliveries are held.
    pub paused_at: Option<Timestamp>,
    pub retry_schedule: Option<RetrySchedule>,
    pub body_signature: Option<BodySignature>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Endpoint {
    /// Whether its queue stands still until somebody acts.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.disabled.is_some() || self.paused_at.is_some()
    }
}

/// A disabled endpoint gets no new deliveries; those it has are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    pub at: Timestamp,
    pub reason: DisabledReason,
    /// Why, in the words of whoever did it.
    pub note: Option<String>,
}

impl Disabled {
    #[must_use]
    pub const fn new(at: Timestamp, reason: DisabledReason) -> Self {
        Self { at, reason, note: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// Somebody set `disabled`.
    ByHand,
    /// The receiver answered 410 Gone.
    Gone,
    /// It failed for longer than its failure budget.
    Failing,
}

impl DisabledReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByHand => "by_hand",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "gone" => Self::Gone,
            "failing" => Self::Failing,
            _ => Self::ByHand,
        }
    }
}

/// A second signature for receivers that migrate: `<header>: sha256=<hex of HMAC over the body>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BodySignature {
    pub header: String,
}
