//! The rules, told apart from the code that keeps them: what may go out, when, and of whom.
//!
//! It knows the retry schedule, what each receiver asked for, and the holds that are in force; it
//! sees each request as it goes out and each delivery as it is stored afterwards. A complaint
//! begins with the name of its rule.

use std::collections::BTreeMap;

use model::breaker::State as BreakerState;
use model::delivery::State;
use model::retry::{JITTER_PERCENT, RETRY_AFTER_JITTER_PERCENT, RetrySchedule};
use model::{DeliveryId, EndpointId, Timestamp};

use crate::engine::Sending;
use crate::network::Reply;
use crate::world::{BreakerRow, HOUR_MS, Stored};

/// How late a delivery may go out that nothing disturbs: looks are at most an hour apart.
const MAX_LATE_MS: u64 = 2 * HOUR_MS;

pub type Verdict = Result<(), String>;

/// Why nothing may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Paused,
    Disabled,
    Window,
}

/// In force for deliveries that are leased after it was `known`.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub reason: Reason,
    pub known: Timestamp,
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What the latest recorded attempt of a delivery allows.
#[derive(Debug)]
struct Recorded {
    attempts: u32,
    /// Not before, by the schedule and by what the receiver asked for.
    earliest: Timestamp,
    due_at: Timestamp,
    is_final: bool,
}

#[derive(Debug)]
pub struct Checker {
    schedule: RetrySchedule,
    /// Leases that have not ended, with the node they belong to.
    living: BTreeMap<DeliveryId, Vec<Sending>>,
    recorded: BTreeMap<DeliveryId, Recorded>,
    held: BTreeMap<EndpointId, Vec<Held>>,
    /// When something last kept an endpoint's deliveries from going out.
    disturbed: BTreeMap<EndpointId, Timestamp>,
    disturbed_all: Timestamp,
}

impl Checker {
    pub fn new(now: Timestamp) -> Self {
        Self {
            schedule: RetrySchedule::default(),
            living: BTreeMap::new(),
            recorded: BTreeMap::new(),
            held: BTreeMap::new(),
            disturbed: BTreeMap::new(),
            disturbed_all: now,
        }
    }

    pub fn hold(&mut self, endpoint: EndpointId, held: Held) {
        self.held.entry(endpoint).or_default().push(held);
    }

    /// Somebody ended what held it.
    pub fn free(&mut self, endpoint: EndpointId, reason: Reason, now: Timestamp) {
        for held in self.held.entry(endpoint).or_default() {
            if held.reason == reason {
                held.until = held.until.min(now);
            }
        }
        self.disturb(endpoint, now);
    }

    pub fn disturb(&mut self, endpoint: EndpointId, until: Timestamp) {
        let latest = self.disturbed.entry(endpoint).or_insert(until);
        *latest = (*latest).max(until);
    }

    pub fn disturb_all(&mut self, now: Timestamp) {
        self.disturbed_all = self.disturbed_all.max(now);
    }

    /// A request goes out.
    pub fn sends(&mut self, sending: &Sending, breaker: BreakerRow) -> Verdict {
        self.check_lease(sending)?;
        self.check_hold(sending, breaker)?;
        self.check_schedule(sending)?;
        self.living.entry(sending.delivery).or_default().push(sending.clone());
        Ok(())
    }

    fn check_lease(&self, sending: &Sending) -> Verdict {
        let Sending { delivery, at, .. } = sending;
        if sending.lease_until <= *at {
            return Err(format!("lease: {delivery} went out after its lease had ended"));
        }
        let others = self.living.get(delivery).into_iter().flatten();
        if let Some(other) = others.into_iter().find(|other| other.lease_until > *at) {
            return Err(format!(
                "lease: {delivery} has two living leases, of nodes {} and {}",
                other.node, sending.node
            ));
        }
        Ok(())
    }

    fn check_hold(&self, sending: &Sending, breaker: BreakerRow) -> Verdict {
        let (at, endpoint) = (sending.at, &sending.endpoint);
        let applies =
            |held: &&Held| held.known < sending.leased_at() && held.from <= at && at < held.until;
        if let Some(held) = self.held.get(endpoint).into_iter().flatten().find(applies) {
            return Err(format!(
                "hold: {endpoint} is held ({:?}), {}",
                held.reason, sending.delivery
            ));
        }
        let is_older = sending.leased_at() <= breaker.since;
        let is_held = match breaker.state {
            BreakerState::Closed => false,
            BreakerState::Open => breaker.until > at || !sending.probe,
            BreakerState::HalfOpen => !sending.probe,
        };
        if is_held && !is_older {
            return Err(format!("hold: the breaker of {endpoint} is {}", breaker.state.as_str()));
        }
        Ok(())
    }

    fn check_schedule(&self, sending: &Sending) -> Verdict {
        let Sending { delivery, at, attempt, .. } = sending;
        let Some(recorded) = self.recorded.get(delivery) else {
            return match attempt {
                1 => Ok(()),
                _ => {
                    Err(format!("schedule: {delivery} goes out for the {attempt}th time at first"))
                }
            };
        };
        if recorded.is_final {
            return Err(format!("final: {delivery} goes out again"));
        }
        if *attempt != recorded.attempts + 1 {
            return Err(format!(
                "schedule: attempt {attempt} of {delivery} follows attempt {}",
                recorded.attempts
            ));
        }
        if *at < recorded.earliest || *at < recorded.due_at {
            let early = recorded.earliest.max(recorded.due_at).since_ms(*at);
            return Err(format!("schedule: {delivery} goes out {early} ms too early"));
        }
        let disturbed = self.disturbed.get(&sending.endpoint).copied().unwrap_or_default();
        let from = recorded.due_at.max(disturbed).max(self.disturbed_all);
        if at.since_ms(from) > MAX_LATE_MS {
            let late = at.since_ms(from);
            return Err(format!("schedule: {delivery} goes out {late} ms too late"));
        }
        Ok(())
    }

    /// A settlement that lost its lease changes nothing.
    pub fn settled(&self, sending: &Sending, before: Option<Stored>, after: Stored) -> Verdict {
        let Some(before) = before else { return Ok(()) };
        let was_ours = before.state == State::Leased && before.owner == sending.owner;
        if was_ours || (before.attempts, before.state) == (after.attempts, after.state) {
            return Ok(());
        }
        Err(format!("lease: {} was settled with a lease that was lost", sending.delivery))
    }

    /// An answer came, or the delivery was given back; the row is as it is stored now.
    pub fn ended(
        &mut self,
        sending: &Sending,
        reply: &Reply,
        stored: Stored,
        now: Timestamp,
    ) -> Verdict {
        let known = self.recorded.get(&sending.delivery).map_or(0, |recorded| recorded.attempts);
        let is_new = stored.attempts == sending.attempt && known < stored.attempts;
        let holds = stored.state == State::Leased && stored.due_at == sending.lease_until;
        if !holds && let Some(living) = self.living.get_mut(&sending.delivery) {
            living.retain(|other| other.lease_until != sending.lease_until);
        }
        if !reply.is_success() {
            self.disturb(sending.endpoint, now.plus_ms(lengthened(reply.retry_after_ms())));
        }
        if stored.attempts < known {
            return Err(format!(
                "lost: an attempt of {} is not recorded any more",
                sending.delivery
            ));
        }
        if stored.attempts != sending.attempt {
            // Its lease was lost, or the database did not take the outcome.
            return Ok(());
        }
        let was_final = self.recorded.get(&sending.delivery).is_some_and(|it| it.is_final);
        if was_final && !stored.state.is_final() {
            return Err(format!("final: {} was final and is not", sending.delivery));
        }
        if !is_new {
            return Ok(());
        }
        let recorded = self.allowed(sending, reply, stored, now)?;
        self.recorded.insert(sending.delivery, recorded);
        Ok(())
    }

    fn allowed(
        &self,
        sending: &Sending,
        reply: &Reply,
        stored: Stored,
        now: Timestamp,
    ) -> Result<Recorded, String> {
        let made = usize::try_from(sending.attempt).unwrap();
        let gap_ms = self.schedule.delays_ms().get(made).copied();
        let is_final = stored.state.is_final();
        let (id, attempts) = (sending.delivery, stored.attempts);
        match (stored.state, reply.is_success(), gap_ms) {
            (State::Queued | State::Leased, true, _) => {
                return Err(format!("final: {id} succeeded and is not final"));
            }
            (State::Succeeded, false, _) => return Err(format!("final: {id} did not succeed")),
            (State::Failed, true, _) => return Err(format!("final: {id} succeeded")),
            (State::Failed, false, Some(_)) => {
                return Err(format!("final: {id} is given up after {attempts} attempts"));
            }
            _ => {}
        }
        let gap_ms = gap_ms.unwrap_or(0);
        let asked_ms = reply.retry_after_ms();
        let earliest = now.plus_ms((gap_ms - gap_ms * JITTER_PERCENT / 100).max(asked_ms));
        let latest =
            now.plus_ms((gap_ms + gap_ms * JITTER_PERCENT / 100).max(lengthened(asked_ms)) + 1);
        if stored.state == State::Queued && !(earliest..=latest).contains(&stored.due_at) {
            let off = stored.due_at.since_ms(now);
            return Err(format!(
                "schedule: {id} is due {off} ms after attempt {attempts}, of {gap_ms} ms"
            ));
        }
        Ok(Recorded { attempts, earliest, due_at: stored.due_at, is_final })
    }

    /// Another wrote this delivery: it is final without an attempt.
    pub fn cancelled(&mut self, delivery: DeliveryId, attempts: u32, now: Timestamp) {
        let recorded = Recorded { attempts, earliest: now, due_at: now, is_final: true };
        self.recorded.insert(delivery, recorded);
    }
}

fn lengthened(asked_ms: u64) -> u64 {
    asked_ms + asked_ms * RETRY_AFTER_JITTER_PERCENT / 100
}
