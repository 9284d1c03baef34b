//! Shapes of the wire that keys, keyspaces and owners share.

use model::key::RotationPolicy;
use model::key::limit::{Limit, Mode, Subject, WhenDown};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// At most so much in any window of so many milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyLimit)]
pub struct LimitShape {
    /// Changing the figures keeps what was counted under the name.
    #[schema(example = "requests")]
    pub name: String,
    #[schema(example = 100)]
    pub limit: u64,
    #[schema(example = 60_000)]
    pub window_ms: u64,
    /// Who shares it: `key`, `owner` or `keyspace`.
    #[serde(default)]
    #[schema(value_type = String, example = "key")]
    pub subject: Subject,
    /// How exact it is on several nodes: `strict`, `leased` or `local`.
    #[serde(default)]
    #[schema(value_type = String, example = "leased")]
    pub mode: Mode,
    /// What it does while Redis does not answer: `local_share`, `open` or `closed`.
    #[serde(default)]
    #[schema(value_type = String, example = "local_share")]
    pub when_down: WhenDown,
    /// Counted on every verification; otherwise only where a request names it.
    #[serde(default = "yes")]
    pub automatic: bool,
}

pub(crate) const fn yes() -> bool {
    true
}

/// Secrets are renewed by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyRotationPolicy)]
pub struct RotationShape {
    pub interval_ms: u64,
    /// How long the old secret stays good.
    pub grace_ms: u64,
    /// How long before it is announced.
    #[serde(default)]
    pub notice_ms: u64,
}

impl From<RotationShape> for RotationPolicy {
    fn from(shape: RotationShape) -> Self {
        let RotationShape { interval_ms, grace_ms, notice_ms } = shape;
        Self { interval_ms, grace_ms, notice_ms }
    }
}

impl From<RotationPolicy> for RotationShape {
    fn from(policy: RotationPolicy) -> Self {
        let RotationPolicy { interval_ms, grace_ms, notice_ms } = policy;
        Self { interval_ms, grace_ms, notice_ms }
    }
}

impl From<LimitShape> for Limit {
    fn from(shape: LimitShape) -> Self {
        let LimitShape { name, limit, window_ms, subject, mode, when_down, automatic } = shape;
        Self { name, limit, window_ms, subject, mode, when_down, automatic }
    }
}

impl From<Limit> for LimitShape {
    fn from(limit: Limit) -> Self {
        let Limit { name, limit, window_ms, subject, mode, when_down, automatic } = limit;
        Self { name, limit, window_ms, subject, mode, when_down, automatic }
    }
}

pub(crate) fn limits_in(shapes: Vec<LimitShape>) -> Vec<Limit> {
    shapes.into_iter().map(Into::into).collect()
}

pub(crate) fn limits_out(limits: Vec<Limit>) -> Vec<LimitShape> {
    limits.into_iter().map(Into::into).collect()
}
