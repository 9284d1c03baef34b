//! The circuit breaker of an endpoint: what it is, why, what it was, and when it opens.

pub mod close;
pub mod delete;
pub mod get;
pub mod open;
pub mod put;
pub mod thresholds;

use model::app::App;
use model::breaker::{Breaker, Figures, State};
use model::endpoint::Endpoint;
use model::{Timestamp, name};
use serde::Serialize;
use store::{BreakerChange, Store};
use utoipa::ToSchema;

use crate::problem::{Problem, Result};
use crate::wire::Moment;
use thresholds::ThresholdsOut;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerOut {
    /// `closed`, `open` or `half_open`.
    state: &'static str,
    /// None when it never opened.
    since: Option<Moment>,
    /// When it is open: when the first probe goes out; none, when somebody opened it for good.
    until: Option<Moment>,
    /// Why it is as it is.
    reason: String,
    by_hand: bool,
    /// Openings since it was last closed; pauses grow with them.
    opened_times: u32,
    /// What was counted when it last opened.
    figures: FiguresOut,
    thresholds: ThresholdsOut,
    /// The last transitions, newest first.
    history: Vec<BreakerChangeOut>,
}

/// A transition of a breaker.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerChangeOut {
    at: Moment,
    from: &'static str,
    to: &'static str,
    until: Option<Moment>,
    /// Who did it by hand.
    by: Option<String>,
    reason: String,
    figures: FiguresOut,
}

/// What one process counted within the window.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiguresOut {
    window_ms: u64,
    attempts: u32,
    failures: u32,
    slow: u32,
    consecutive_failures: u32,
    #[schema(example = json!({"timeout": 7}))]
    by_error: std::collections::BTreeMap<String, u32>,
    #[schema(example = json!({"2xx": 12, "5xx": 30}))]
    by_status_class: std::collections::BTreeMap<String, u32>,
    mean_ms: u64,
    max_ms: u32,
    last_error: Option<String>,
    last_status: Option<u16>,
}

impl From<Figures> for FiguresOut {
    fn from(figures: Figures) -> Self {
        Self {
            window_ms: figures.window_ms,
            attempts: figures.attempts,
            failures: figures.failures,
            slow: figures.slow,
            consecutive_failures: figures.consecutive_failures,
            by_error: figures.by_error,
            by_status_class: figures.by_status_class,
            mean_ms: figures.mean_ms,
            max_ms: figures.max_ms,
            last_error: figures.last_error,
            last_status: figures.last_status,
        }
    }
}

impl From<BreakerChange> for BreakerChangeOut {
    fn from(change: BreakerChange) -> Self {
        Self {
            at: Moment(change.at),
            from: change.from.as_str(),
            to: change.to.as_str(),
            until: until(change.to, change.until),
            by: change.actor,
            reason: change.reason,
            figures: change.figures.into(),
        }
    }
}

impl BreakerOut {
    async fn read(store: &Store, app: &App, endpoint: &Endpoint) -> Result<Self> {
        let breaker: Breaker = store.breaker_of(app.id, endpoint.id).await?;
        let thresholds = store.endpoint_thresholds(app.id, endpoint.id).await?;
        let history = store.breaker_changes(app.id, endpoint.id).await?;
        Ok(Self {
            state: breaker.state.as_str(),
            since: (breaker.version > 0).then_some(Moment(breaker.since)),
            until: until(breaker.state, breaker.until),
            reason: breaker.reason,
            by_hand: breaker.by_hand,
            opened_times: breaker.opened_times,
            figures: breaker.figures.into(),
            thresholds: thresholds.into(),
            history: history.into_iter().map(BreakerChangeOut::from).collect(),
        })
    }
}

fn until(state: State, until: Timestamp) -> Option<Moment> {
    (state == State::Open && until < Timestamp::NEVER).then_some(Moment(until))
}

/// What somebody gives as the reason of what is done by hand.
fn reason_of(reason: &str) -> Result<String> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Problem::field("reason", "must say why"));
    }
    name::check_text(reason).map_err(|error| Problem::field("reason", error))?;
    Ok(reason.to_owned())
}
