use model::breaker::Thresholds;

use super::format::{whole, yes_or_no};
use super::setting::section;

const MAX_COUNT: u32 = 1_000_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

section! {
    /// When the circuit breaker of an endpoint opens, where no application or endpoint has its own thresholds.
    Breaker = "breaker" {
        /// Whether breakers open by themselves at all.
        enabled: bool = "true", "DOORBELL_BREAKER_ENABLED", yes_or_no();
        /// Opens after so many failures in a row, in one process; 0: never for this reason.
        consecutive_failures: u32 = "10", "DOORBELL_BREAKER_CONSECUTIVE_FAILURES", whole(0..=MAX_COUNT);
        /// A share is not looked at before so many attempts are in the window.
        min_attempts: u32 = "20", "DOORBELL_BREAKER_MIN_ATTEMPTS", whole(1..=MAX_COUNT);
        /// Opens when this percentage of the window's attempts failed; 0: never for this reason.
        failure_percent: u32 = "50", "DOORBELL_BREAKER_FAILURE_PERCENT", whole(0..=100);
        /// An attempt that took so many milliseconds is slow, even when it succeeded; 0: none is.
        slow_ms: u64 = "0", "DOORBELL_BREAKER_SLOW_MS", whole(0..=DAY_MS);
        /// Opens when this percentage of the window's attempts was slow.
        slow_percent: u32 = "90", "DOORBELL_BREAKER_SLOW_PERCENT", whole(1..=100);
        /// How far back attempts are counted.
        window_ms: u64 = "60000", "DOORBELL_BREAKER_WINDOW_MS", whole(1_000..=DAY_MS);
        /// The first pause; each further one is twice as long.
        open_ms: u64 = "30000", "DOORBELL_BREAKER_OPEN_MS", whole(1_000..=DAY_MS);
        /// The longest pause.
        open_max_ms: u64 = "600000", "DOORBELL_BREAKER_OPEN_MAX_MS", whole(1_000..=DAY_MS);
        /// Pauses are longer by up to this percentage, so that breakers do not probe in step.
        jitter_percent: u32 = "10", "DOORBELL_BREAKER_JITTER_PERCENT", whole(0..=100);
        /// Deliveries that are tried at a time when the pause is over, and that must succeed.
        probes: u32 = "1", "DOORBELL_BREAKER_PROBES", whole(1..=100);
        /// Deliveries per second to one endpoint after any hold, until what piled up is delivered.
        drain_rate: u32 = "100", "DOORBELL_BREAKER_DRAIN_RATE", whole(1..=MAX_COUNT);
    }
}

impl Breaker {
    pub const fn thresholds(&self) -> Thresholds {
        Thresholds {
            enabled: self.enabled,
            consecutive_failures: self.consecutive_failures,
            min_attempts: self.min_attempts,
            failure_percent: self.failure_percent,
            slow_ms: self.slow_ms,
            slow_percent: self.slow_percent,
            window_ms: self.window_ms,
            open_ms: self.open_ms,
            open_max_ms: self.open_max_ms,
            jitter_percent: self.jitter_percent,
            probes: self.probes,
            drain_rate: self.drain_rate,
        }
    }
}
