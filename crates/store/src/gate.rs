//! The gate: may deliveries of an endpoint be started now? One place decides.
//!
//! Planning starts nothing fresh unless the gate is open, and a claim asks it for each lane that is
//! due. A lane's `hold_until` only remembers the answer: whoever ends a hold sets it to 0 and raises
//! the app's version, and the next claim finds whatever still holds. So several reasons never
//! overwrite each other.

use model::{Timestamp, breaker};

use crate::Route;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Open,
    /// A few at a time, to see whether the endpoint works again.
    Probe,
    Held {
        /// Never: until somebody acts.
        until: Timestamp,
        why: Hold,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Paused,
    Disabled,
    Breaker,
    Window,
}

impl Hold {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Breaker => "breaker",
            Self::Window => "window",
        }
    }
}

impl Route {
    /// May deliveries of this endpoint be started now?
    #[must_use]
    pub fn gate(&self, now: Timestamp) -> Gate {
        if self.endpoint.disabled.is_some() {
            return Gate::Held { until: Timestamp::NEVER, why: Hold::Disabled };
        }
        if self.endpoint.paused_at.is_some() {
            return Gate::Held { until: Timestamp::NEVER, why: Hold::Paused };
        }
        // Before the breaker: a window keeps probes back, too.
        if let Some(until) = self.windows.until(now) {
            return Gate::Held { until, why: Hold::Window };
        }
        match &self.breaker {
            Some(breaker) if breaker.probes(now) => Gate::Probe,
            Some(breaker) if breaker.state == breaker::State::Open => {
                Gate::Held { until: breaker.until, why: Hold::Breaker }
            }
            _ => Gate::Open,
        }
    }
}
