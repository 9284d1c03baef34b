//! Why a delivery went, waits, or did not go: facts in, sentences out.

use model::Timestamp;
use model::attempt::{Attempt, ErrorKind};
use model::breaker::{self, Breaker};
use model::delivery::{Delivery, State};
use model::endpoint::{DisabledReason, Endpoint};
use model::message::Message;
use serde::Serialize;
use store::{DeliveryRow, WindowHold};
use utoipa::ToSchema;

/// The store counts places in a queue no further.
const PLACES_COUNTED: u32 = 1_000;

/// One reason: a code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reason {
    pub code: &'static str,
    pub text: String,
}

impl Reason {
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The first reason is the one to act upon.
    pub fn summary(reasons: &[Self]) -> String {
        reasons.first().map(|reason| reason.text.clone()).unwrap_or_default()
    }
}

/// All that is known about a delivery now.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub now: Timestamp,
    pub row: &'a DeliveryRow,
    /// None when it was deleted.
    pub endpoint: Option<&'a Endpoint>,
    /// None when it was deleted.
    pub message: Option<&'a Message>,
    /// First to last.
    pub attempts: &'a [Attempt],
    /// How many attempts the schedule has.
    pub schedule_len: usize,
    /// Until when nothing is started for the endpoint.
    pub hold_until: Option<Timestamp>,
    /// The maintenance windows that hold the endpoint.
    pub windows: Option<&'a WindowHold>,
    /// The breaker of the endpoint, unless it is closed.
    pub breaker: Option<&'a Breaker>,
    /// Deliveries of the endpoint that are due before this one.
    pub ahead: u32,
}

impl<'a> Facts<'a> {
    const fn delivery(&self) -> &'a Delivery {
        &self.row.delivery
    }

    fn is_erased(&self) -> bool {
        self.message.is_none_or(|message| message.payload.is_none())
    }
}

/// The reasons, the decisive one first.
pub fn reasons(facts: Facts<'_>) -> Vec<Reason> {
    let mut reasons = match facts.delivery().state {
        State::Queued => waiting(facts),
        State::Leased => vec![under_way(facts)],
        State::Succeeded => vec![delivered(facts)],
        State::Failed => vec![given_up(facts)],
        State::Canceled => vec![canceled(facts)],
    };
    if let Some(parent) = facts.delivery().parent_id {
        reasons.push(Reason::new("replay", format!("It was made to repeat {parent}.")));
    }
    reasons
}

/// When it will be tried; none when it stands still or nothing is to come.
pub fn next_attempt_at(facts: Facts<'_>) -> Option<Timestamp> {
    let delivery = facts.delivery();
    let moves = facts.endpoint.is_some_and(|endpoint| !endpoint.is_held());
    let in_window = facts.windows.map(|hold| hold.until).unwrap_or_default();
    let probed = facts.breaker.filter(|breaker| breaker.state == breaker::State::Open);
    let probed = probed.map(|breaker| breaker.until).unwrap_or_default();
    let held = facts.hold_until.unwrap_or_default().max(in_window).max(probed);
    let due_at = delivery.due_at.max(held);
    (delivery.state == State::Queued && moves && due_at < Timestamp::NEVER).then_some(due_at)
}

fn waiting(facts: Facts<'_>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = [held(facts), erased(facts)].into_iter().flatten().collect();
    reasons.push(due(facts));
    reasons
}

/// What keeps the whole endpoint from being called.
fn held(facts: Facts<'_>) -> Option<Reason> {
    let Some(endpoint) = facts.endpoint else {
        let text = "The endpoint was deleted; its deliveries are being deleted too.";
        return Some(Reason::new("endpoint_deleted", text));
    };
    if let Some(disabled) = &endpoint.disabled {
        let at = disabled.at;
        return Some(match disabled.reason {
            DisabledReason::Gone => Reason::new(
                "endpoint_gone",
                format!(
                    "The endpoint was disabled at {at} because it answered 410 Gone. The delivery \
                     is kept; enable the endpoint to send it."
                ),
            ),
            DisabledReason::Failing => Reason::new(
                "endpoint_failing",
                format!(
                    "The endpoint was disabled at {at} because it had failed for longer than it \
                     may. The delivery is kept; enable the endpoint to send it."
                ),
            ),
            DisabledReason::ByHand => Reason::new(
                "endpoint_disabled",
                format!(
                    "The endpoint has been disabled by hand since {at}. The delivery is kept; \
                     enable the endpoint to send it."
                ),
            ),
        });
    }
    if let Some(since) = endpoint.paused_at {
        let text = format!(
            "The endpoint has been paused since {since}. The delivery is kept; resume the endpoint \
             to send it."
        );
        return Some(Reason::new("endpoint_paused", text));
    }
    if let Some(hold) = facts.windows {
        return Some(in_window(hold));
    }
    if let Some(breaker) = facts.breaker {
        return Some(by_breaker(breaker));
    }
    let until = facts.hold_until.filter(|until| *until > facts.now)?;
    let text = format!(
        "Nothing is started for the endpoint before {until}: its rate is used up, or its receiver \
         asked for a pause."
    );
    Some(Reason::new("endpoint_slowed", text))
}

/// The breaker of the endpoint holds it.
pub fn by_breaker(breaker: &Breaker) -> Reason {
    let Breaker { since, until, reason, .. } = breaker;
    if breaker.state == breaker::State::HalfOpen {
        let text = format!(
            "Held: the breaker of the endpoint has been half-open since {since}; the oldest \
             deliveries are tried first, to see whether it works again."
        );
        return Reason::new("breaker_half_open", text);
    }
    let next = match *until {
        Timestamp::NEVER => "it stays so until somebody closes it".to_owned(),
        until => format!("the next probe goes out at {until}"),
    };
    let text = format!(
        "Held: the breaker of the endpoint has been open since {since}, because: {reason}; {next}."
    );
    Reason::new("breaker_open", text)
}

/// A maintenance window holds the endpoint.
pub fn in_window(hold: &WindowHold) -> Reason {
    let names: Vec<String> = hold
        .windows
        .iter()
        .map(|window| {
            let why = Some(window.reason.trim()).filter(|reason| !reason.is_empty());
            let why = why.map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("«{}»{why}", window.name)
        })
        .collect();
    let noun = if names.len() == 1 { "window" } else { "windows" };
    let text = format!(
        "Held: maintenance {noun} {} until {}. What waits is sent afterwards.",
        names.join(", "),
        hold.until
    );
    Reason::new("maintenance_window", text)
}

fn erased(facts: Facts<'_>) -> Option<Reason> {
    facts.is_erased().then(|| {
        let text = "The message's payload was erased: the next attempt will find nothing to send, \
                    and the delivery will fail.";
        Reason::new("payload_erased", text)
    })
}

/// What its own schedule says.
fn due(facts: Facts<'_>) -> Reason {
    let (delivery, due_at) = (facts.delivery(), facts.delivery().due_at);
    if delivery.attempts > 0 {
        let next = if due_at > facts.now {
            format!("the next is due at {due_at}")
        } else {
            format!("the next has been due since {due_at} and waits for its turn{}", queue(facts))
        };
        let text = format!("Attempt {} {}; {next}.", attempt_of(facts), outcome(facts));
        return Reason::new("retrying", text);
    }
    if due_at <= facts.now {
        let text =
            format!("It has been due since {due_at} and waits for its turn{}.", queue(facts));
        return Reason::new("waiting_for_turn", text);
    }
    if facts.message.is_some_and(|message| message.deliver_at == Some(due_at)) {
        return Reason::new("scheduled", format!("The publisher asked for deliverAt {due_at}."));
    }
    Reason::new("first_delay", format!("The retry schedule has the first attempt at {due_at}."))
}

/// `3 of 13`, unless the schedule is shorter by now.
fn attempt_of(facts: Facts<'_>) -> String {
    let (made, of) = (facts.delivery().attempts, facts.schedule_len);
    if usize::try_from(made).is_ok_and(|made| made <= of) {
        return format!("{made} of {of}");
    }
    made.to_string()
}

fn queue(facts: Facts<'_>) -> String {
    match facts.ahead {
        0 => String::new(),
        1 => ", behind one delivery of the same endpoint".to_owned(),
        n if n >= PLACES_COUNTED => {
            format!(", behind {PLACES_COUNTED} or more deliveries of the same endpoint")
        }
        n => format!(", behind {n} deliveries of the same endpoint"),
    }
}

fn under_way(facts: Facts<'_>) -> Reason {
    let delivery = facts.delivery();
    let number = delivery.attempts + 1;
    let until = delivery.lease_until.unwrap_or(delivery.due_at);
    if until <= facts.now {
        let text = format!(
            "The process that had attempt {number} under way did not settle it: its lease ended at \
             {until}. The delivery is about to be queued again."
        );
        return Reason::new("lease_ended", text);
    }
    let text = format!(
        "Attempt {number} is under way; the lease of the process that makes it ends at {until}."
    );
    Reason::new("under_way", text)
}

fn delivered(facts: Facts<'_>) -> Reason {
    let delivery = facts.delivery();
    let at = delivery.settled_at.unwrap_or(delivery.created_at);
    let attempts = delivery.attempts;
    let text = format!("Delivered at {at}: attempt {attempts} {}.", outcome(facts));
    Reason::new("delivered", text)
}

fn given_up(facts: Facts<'_>) -> Reason {
    let delivery = facts.delivery();
    let (made, at) = (delivery.attempts, delivery.settled_at.unwrap_or(delivery.created_at));
    if facts.row.last_error == Some(ErrorKind::PayloadGone) {
        let text = format!("Given up at {at}: the message's payload had been erased.");
        return Reason::new("payload_erased", text);
    }
    if usize::try_from(made).is_ok_and(|made| made == facts.schedule_len) {
        let text = format!(
            "Given up at {at}: the schedule's {made} attempts are used up; the last one {}.",
            outcome(facts)
        );
        return Reason::new("schedule_used_up", text);
    }
    let text = format!("Given up at {at} after attempt {made}, which {}.", outcome(facts));
    Reason::new("given_up", text)
}

fn canceled(facts: Facts<'_>) -> Reason {
    let delivery = facts.delivery();
    let at = delivery.settled_at.unwrap_or(delivery.created_at);
    let tried = attempts_text(delivery.attempts);
    Reason::new("canceled", format!("Canceled at {at} after {tried}."))
}

pub fn attempts_text(n: u32) -> String {
    match n {
        0 => "no attempt".to_owned(),
        1 => "one attempt".to_owned(),
        n => format!("{n} attempts"),
    }
}

/// How the last attempt ended: a verb and what follows it.
fn outcome(facts: Facts<'_>) -> String {
    let row = facts.row;
    let said = facts.attempts.last().and_then(|attempt| attempt.detail.error.as_deref());
    match (row.last_error, row.last_status, said) {
        (None | Some(ErrorKind::Status), Some(status), _) => format!("was answered {status}"),
        (Some(kind), _, Some(said)) => format!("failed ({}: {said})", kind.as_str()),
        (Some(kind), _, None) => format!("failed ({})", kind.as_str()),
        (None, None, _) => "is not recorded".to_owned(),
    }
}

#[cfg(test)]
mod tests;
