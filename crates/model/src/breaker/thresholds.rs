//! When a breaker opens, for how long, and how it finds out that it may close: settings of the
//! instance, which an app and then an endpoint may override one by one.

use serde::{Deserialize, Serialize};

use crate::Entropy;

/// The longest pause, and the longest window, that can be asked for: a day.
const MAX_MS: u64 = 24 * 60 * 60 * 1_000;
const MAX_COUNT: u32 = 1_000_000;
const MAX_PROBES: u32 = 100;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thresholds {
    /// Whether it opens by itself at all.
    pub enabled: bool,
    /// Opens after so many failures without a success between them. 0: never for this reason.
    pub consecutive_failures: u32,
    /// A share is not looked at before so many attempts are in the window.
    pub min_attempts: u32,
    /// Opens when this share of the window's attempts failed. 0: never for this reason.
    pub failure_percent: u32,
    /// An attempt that took so long is slow, even when it succeeded. 0: none is.
    pub slow_ms: u64,
    /// Opens when this share of the window's attempts was slow.
    pub slow_percent: u32,
    pub window_ms: u64,
    /// The first pause; each further one is twice as long.
    pub open_ms: u64,
    pub open_max_ms: u64,
    /// Pauses are longer by up to this share, so that breakers do not probe in step.
    pub jitter_percent: u32,
    /// Deliveries that are tried at a time when the pause is over, and that must succeed.
    pub probes: u32,
    /// Deliveries a second, after any hold, until what piled up is delivered.
    pub drain_rate: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive_failures: 10,
            min_attempts: 20,
            failure_percent: 50,
            slow_ms: 0,
            slow_percent: 90,
            window_ms: 60_000,
            open_ms: 30_000,
            open_max_ms: 600_000,
            jitter_percent: 10,
            probes: 1,
            drain_rate: 100,
        }
    }
}

/// A threshold that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be from {min} to {max}")]
pub struct BadThresholds {
    pub field: &'static str,
    pub min: u64,
    pub max: u64,
}

/// Thresholds that somebody has of their own; what is absent is taken from the next wider one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Override {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_max_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_rate: Option<u32>,
}

impl Thresholds {
    /// These, but for what `own` says.
    #[must_use]
    pub fn with(&self, own: &Override) -> Self {
        Self {
            enabled: own.enabled.unwrap_or(self.enabled),
            consecutive_failures: own.consecutive_failures.unwrap_or(self.consecutive_failures),
            min_attempts: own.min_attempts.unwrap_or(self.min_attempts),
            failure_percent: own.failure_percent.unwrap_or(self.failure_percent),
            slow_ms: own.slow_ms.unwrap_or(self.slow_ms),
            slow_percent: own.slow_percent.unwrap_or(self.slow_percent),
            window_ms: own.window_ms.unwrap_or(self.window_ms),
            open_ms: own.open_ms.unwrap_or(self.open_ms),
            open_max_ms: own.open_max_ms.unwrap_or(self.open_max_ms),
            jitter_percent: own.jitter_percent.unwrap_or(self.jitter_percent),
            probes: own.probes.unwrap_or(self.probes),
            drain_rate: own.drain_rate.unwrap_or(self.drain_rate),
        }
    }

    /// # Errors
    /// When one of them is out of its range.
    pub fn check(&self) -> Result<(), BadThresholds> {
        let ranges = [
            ("consecutiveFailures", u64::from(self.consecutive_failures), 0, u64::from(MAX_COUNT)),
            ("minAttempts", u64::from(self.min_attempts), 1, u64::from(MAX_COUNT)),
            ("failurePercent", u64::from(self.failure_percent), 0, 100),
            ("slowMs", self.slow_ms, 0, MAX_MS),
            ("slowPercent", u64::from(self.slow_percent), 1, 100),
            ("windowMs", self.window_ms, 1_000, MAX_MS),
            ("openMs", self.open_ms, 1_000, MAX_MS),
            ("openMaxMs", self.open_max_ms, self.open_ms.min(MAX_MS), MAX_MS),
            ("jitterPercent", u64::from(self.jitter_percent), 0, 100),
            ("probes", u64::from(self.probes), 1, u64::from(MAX_PROBES)),
            ("drainRate", u64::from(self.drain_rate), 1, u64::from(MAX_COUNT)),
        ];
        for (field, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(BadThresholds { field, min, max });
            }
        }
        Ok(())
    }

    /// How long the next pause is after so many openings in a row.
    pub(super) fn pause_ms(&self, opened_times: u32, entropy: &Entropy) -> u64 {
        let factor = 1_u64.checked_shl(opened_times.min(u64::BITS)).unwrap_or(u64::MAX);
        let pause_ms = self.open_ms.saturating_mul(factor).min(self.open_max_ms);
        pause_ms + entropy.below(pause_ms * u64::from(self.jitter_percent) / 100 + 1)
    }
}
