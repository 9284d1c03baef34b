//! The circuit breaker of an endpoint: pure arithmetic, time and chance come in.
//!
//! Each process watches what its attempts come to ([`Watch`], a sliding window). When a watch says
//! that the endpoint does not work, the breaker, which all processes share, opens: deliveries are
//! held and no attempt is burnt. When its pause is over it is half-open: a few probes go out,
//! oldest delivery first. If they succeed it closes; if one fails it opens again, for longer.
//!
//! What must always hold: a breaker moves only from closed to open, from open to half-open, and from
//! half-open to closed or open; by hand it may be opened or closed at any time. Every transition
//! carries the figures that it came from.

#[cfg(test)]
mod tests;
mod thresholds;
mod watch;

use serde::{Deserialize, Serialize};

use crate::{Entropy, Timestamp};

pub use thresholds::{BadThresholds, Override, Thresholds};
pub use watch::{Figures, Health, Observation, Watch};

/// What a breaker is. The codes are stored: never change one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum State {
    #[default]
    Closed = 0,
    /// Nothing is started.
    Open = 1,
    /// A few deliveries are tried, to see whether the endpoint works again.
    HalfOpen = 2,
}

impl State {
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    #[must_use]
    pub const fn from_code(code: i16) -> Self {
        match code {
            1 => Self::Open,
            2 => Self::HalfOpen,
            _ => Self::Closed,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A breaker as all processes share it. The default is that of an endpoint that never failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Breaker {
    pub state: State,
    /// Transitions so far.
    pub version: i64,
    /// Openings so far. What was started before one says nothing about the time after it.
    pub era: i64,
    /// Openings since it was last closed: pauses grow with them.
    pub opened_times: u32,
    pub since: Timestamp,
    /// Open: when probing begins; never, when somebody opened it for good.
    pub until: Timestamp,
    /// Probes that succeeded since it is half-open.
    pub successes: u32,
    pub by_hand: bool,
    pub reason: String,
    /// What was counted when it came to this.
    pub figures: Figures,
}

/// What may move a breaker.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A watch found that the endpoint does not work.
    Tripped(Trip),
    /// The pause is over and a probe goes out.
    Probing,
    ProbeSucceeded,
    ProbeFailed(Trip),
    /// Somebody opened it; without an end until somebody closes it.
    OpenedByHand {
        until: Timestamp,
        reason: String,
    },
    ClosedByHand {
        reason: String,
    },
}

/// Why a watch would open the breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct Trip {
    pub reason: String,
    pub figures: Figures,
}

/// What an event did to a breaker.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is in another state now, or in the same one by another will.
    Moved(Breaker),
    /// One more probe succeeded, and more are wanted.
    Counted(Breaker),
    /// The event does not concern the breaker as it is.
    Nothing,
}

impl Breaker {
    /// Whether probes may go out: by its state, or because its pause is over.
    #[must_use]
    pub fn probes(&self, now: Timestamp) -> bool {
        match self.state {
            State::Closed => false,
            State::Open => self.until <= now,
            State::HalfOpen => true,
        }
    }

    /// What the event makes of this breaker; only legal moves are made.
    #[must_use]
    pub fn step(
        &self,
        event: Event,
        thresholds: &Thresholds,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Step {
        match (event, self.state) {
            (Event::Tripped(trip), State::Closed) | (Event::ProbeFailed(trip), State::HalfOpen) => {
                let until = now.plus_ms(thresholds.pause_ms(self.opened_times, entropy));
                let opened = self.moved(State::Open, trip.reason, trip.figures, now);
                Step::Moved(Self { until, ..opened })
            }
            (Event::Probing, State::Open) if self.until <= now => {
                let reason = "its pause is over".to_owned();
                Step::Moved(self.moved(State::HalfOpen, reason, self.figures.clone(), now))
            }
            (Event::ProbeSucceeded, State::HalfOpen) => {
                let successes = self.successes + 1;
                if successes < thresholds.probes {
                    return Step::Counted(Self { successes, ..self.clone() });
                }
                let reason = "its probes succeeded".to_owned();
                let closed = self.moved(State::Closed, reason, self.figures.clone(), now);
                Step::Moved(Self { successes, ..closed })
            }
            (Event::OpenedByHand { until, reason }, _) => {
                let opened = self.moved(State::Open, reason, self.figures.clone(), now);
                Step::Moved(Self { until, by_hand: true, ..opened })
            }
            (Event::ClosedByHand { reason }, State::Open | State::HalfOpen) => {
                let closed = self.moved(State::Closed, reason, self.figures.clone(), now);
                Step::Moved(Self { by_hand: true, ..closed })
            }
            _ => Step::Nothing,
        }
    }

    fn moved(&self, state: State, reason: String, figures: Figures, now: Timestamp) -> Self {
        let opens = state == State::Open;
        Self {
            state,
            version: self.version + 1,
            era: self.era + i64::from(opens),
            opened_times: match state {
                State::Closed => 0,
                State::Open => self.opened_times.saturating_add(1),
                State::HalfOpen => self.opened_times,
            },
            since: now,
            until: self.until,
            successes: 0,
            by_hand: false,
            reason,
            figures,
        }
    }
}
