//! The thresholds of breakers on the wire; the same for apps and endpoints.

use model::breaker::{Override, Thresholds};
use serde::{Deserialize, Serialize};
use store::OwnThresholds;
use utoipa::ToSchema;

use crate::problem::{Problem, Result};

/// Thresholds that differ from the next wider ones: an endpoint's from its application's, those from
/// the instance's. What is left out or null is not different.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = BreakerThresholds)]
pub struct ThresholdsShape {
    /// Whether it opens by itself at all.
    #[serde(default)]
    enabled: Option<bool>,
    /// Opens after so many failures in a row; 0: never for this reason.
    #[serde(default)]
    consecutive_failures: Option<u32>,
    /// A share is not looked at before so many attempts are in the window.
    #[serde(default)]
    min_attempts: Option<u32>,
    /// Opens when this share of the window's attempts failed; 0: never for this reason.
    #[serde(default)]
    failure_percent: Option<u32>,
    /// An attempt that took so long is slow, even when it succeeded; 0: none is.
    #[serde(default)]
    slow_ms: Option<u64>,
    /// Opens when this share of the window's attempts was slow.
    #[serde(default)]
    slow_percent: Option<u32>,
    #[serde(default)]
    window_ms: Option<u64>,
    /// The first pause; each further one is twice as long.
    #[serde(default)]
    open_ms: Option<u64>,
    #[serde(default)]
    open_max_ms: Option<u64>,
    /// Pauses are longer by up to this share.
    #[serde(default)]
    jitter_percent: Option<u32>,
    /// Deliveries that are tried at a time when the pause is over, and that must succeed.
    #[serde(default)]
    probes: Option<u32>,
    /// Deliveries a second after any hold, until what piled up is delivered.
    #[serde(default)]
    drain_rate: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BreakerThresholdsOut)]
pub struct ThresholdsOut {
    own: ThresholdsShape,
    in_effect: ThresholdsShape,
}

impl From<OwnThresholds> for ThresholdsOut {
    fn from(thresholds: OwnThresholds) -> Self {
        Self { own: thresholds.own.into(), in_effect: thresholds.in_effect.into() }
    }
}

impl ThresholdsShape {
    /// The override, if the thresholds it makes of the wider ones are good.
    pub fn read(self, wider: &Thresholds) -> Result<Override> {
        let own = Override::from(self);
        wider.with(&own).check().map_err(|bad| {
            Problem::field(bad.field, format!("must be {} to {}", bad.min, bad.max))
        })?;
        Ok(own)
    }
}

impl From<ThresholdsShape> for Override {
    fn from(shape: ThresholdsShape) -> Self {
        Self {
            enabled: shape.enabled,
            consecutive_failures: shape.consecutive_failures,
            min_attempts: shape.min_attempts,
            failure_percent: shape.failure_percent,
            slow_ms: shape.slow_ms,
            slow_percent: shape.slow_percent,
            window_ms: shape.window_ms,
            open_ms: shape.open_ms,
            open_max_ms: shape.open_max_ms,
            jitter_percent: shape.jitter_percent,
            probes: shape.probes,
            drain_rate: shape.drain_rate,
        }
    }
}

impl From<Override> for ThresholdsShape {
    fn from(own: Override) -> Self {
        Self {
            enabled: own.enabled,
            consecutive_failures: own.consecutive_failures,
            min_attempts: own.min_attempts,
            failure_percent: own.failure_percent,
            slow_ms: own.slow_ms,
            slow_percent: own.slow_percent,
            window_ms: own.window_ms,
            open_ms: own.open_ms,
            open_max_ms: own.open_max_ms,
            jitter_percent: own.jitter_percent,
            probes: own.probes,
            drain_rate: own.drain_rate,
        }
    }
}

impl From<Thresholds> for ThresholdsShape {
    fn from(thresholds: Thresholds) -> Self {
        Self {
            enabled: Some(thresholds.enabled),
            consecutive_failures: Some(thresholds.consecutive_failures),
            min_attempts: Some(thresholds.min_attempts),
            failure_percent: Some(thresholds.failure_percent),
            slow_ms: Some(thresholds.slow_ms),
            slow_percent: Some(thresholds.slow_percent),
            window_ms: Some(thresholds.window_ms),
            open_ms: Some(thresholds.open_ms),
            open_max_ms: Some(thresholds.open_max_ms),
            jitter_percent: Some(thresholds.jitter_percent),
            probes: Some(thresholds.probes),
            drain_rate: Some(thresholds.drain_rate),
        }
    }
}
