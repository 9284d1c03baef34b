//! Settle: a deliverer hands in what became of a delivery and learns whether it still held the
//! lease. One transaction records attempts, moves deliveries, sums usage and updates lanes.
//!
//! A settlement that lost its lease changes nothing and says so. Slots are given back only here,
//! after the outcome is durable: what a crash can repeat is bounded by the slots there are.

use std::collections::BTreeMap;

use model::attempt::Attempt;
use model::concurrency::Effort;
use model::delivery::State;
use model::{AppId, DeliveryId, EndpointId, Timestamp};
use tokio::sync::oneshot;

use super::{Conn, postgres, sqlite};
use crate::db::Either;
use crate::{Lease, Result, Store, StoreError, rows};

/// Usage is summed per hour.
pub(crate) const HOUR_MS: i64 = 3_600_000;

#[derive(Clone, Debug)]
pub struct Settlement {
    pub delivery_id: DeliveryId,
    pub app_id: AppId,
    pub endpoint_id: EndpointId,
    /// Attempts made before this lease: a guard beside the lease's owner.
    pub attempts_before: u32,
    /// None when nothing was tried.
    pub attempt: Option<Attempt>,
    pub after: After,
    /// Starts nothing for this endpoint before.
    pub hold_until: Option<Timestamp>,
    pub(crate) held_bytes: usize,
}

impl Lease {
    /// What became of this lease.
    #[must_use]
    pub fn settlement(&self, attempt: Option<Attempt>, after: After) -> Settlement {
        Settlement {
            delivery_id: self.delivery_id,
            app_id: self.route.endpoint.app_id,
            endpoint_id: self.route.endpoint.id,
            attempts_before: self.attempts,
            attempt,
            after,
            hold_until: None,
            held_bytes: self.held_bytes,
        }
    }
}

/// What becomes of the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Succeeded,
    /// The schedule is used up.
    Failed,
    Canceled,
    RetryAt(Timestamp),
    /// Nothing was tried; it is due again at once.
    Released,
}

impl Settlement {
    pub(crate) const fn state(&self) -> State {
        match self.after {
            After::Succeeded => State::Succeeded,
            After::Failed => State::Failed,
            After::Canceled => State::Canceled,
            After::RetryAt(_) | After::Released => State::Queued,
        }
    }

    /// What this says about how much the endpoint can take.
    pub(crate) fn effort(&self) -> Effort {
        self.attempt.as_ref().map_or(Effort::Nothing, Effort::from)
    }

    pub(crate) fn due_at(&self, now: Timestamp) -> Timestamp {
        match self.after {
            After::RetryAt(due) => due,
            _ => now,
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts_before + u32::from(self.attempt.is_some())
    }
}

pub(crate) struct Job {
    pub settlement: Settlement,
    /// What is recorded of the attempt, written by whoever hands it in: the writer only copies.
    pub detail: Option<String>,
    /// Whether the lease was still ours.
    pub answer: oneshot::Sender<bool>,
}

impl Job {
    pub fn new(settlement: Settlement, answer: oneshot::Sender<bool>) -> Result<Self> {
        let detail = settlement.attempt.as_ref().map(|attempt| rows::to_json(&attempt.detail));
        Ok(Self { detail: detail.transpose()?, settlement, answer })
    }
}

impl Store {
    /// Writes down what became of a delivery; false when its lease was lost.
    ///
    /// # Errors
    /// When the store is shutting down.
    pub async fn settle(&self, settlement: Settlement) -> Result<bool> {
        let (answer, answered) = oneshot::channel();
        let job = Job::new(settlement, answer)?;
        self.0.hot.settle.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)
    }
}

/// Writes a batch through `conn`; answers which settlements still held their lease.
pub(crate) async fn apply(store: &Store, conn: &mut Conn<'_>, jobs: &[Job]) -> Result<Vec<bool>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let (node, now) = (store.0.node, store.now());
    let lost = match conn {
        Either::Sqlite(c) => sqlite::settle(c, jobs, node, now)?,
        Either::Postgres(c) => postgres::settle(c, jobs, node, now).await?,
    };
    Ok(jobs.iter().map(|job| !lost.contains(&job.settlement.delivery_id)).collect())
}

/// Gives the slots back and answers the callers, after the commit.
pub(crate) fn finish(store: &Store, jobs: Vec<Job>, ours: &[bool]) {
    let made_room = store.0.slots.finish(jobs.iter().map(|job| &job.settlement), store.now());
    let queued = jobs.iter().any(|job| job.settlement.state() == State::Queued);
    store.0.wake.count_settled(jobs.len());
    for (job, ours) in jobs.into_iter().zip(ours) {
        if !ours {
            tracing::warn!(delivery = %job.settlement.delivery_id, "lease lost; nothing settled");
        }
        // A deliverer that went away needs no answer.
        let _ = job.answer.send(*ours);
    }
    // Slots are free again, or something new is due.
    if queued {
        store.0.wake.ring_queue();
    } else if made_room {
        store.0.wake.ring_if_hungry();
    }
}

/// Frees the slots of settlements that the database did not take while their leases lived.
pub(crate) fn give_up(store: &Store, jobs: &[Job]) {
    for job in jobs {
        tracing::error!(delivery = %job.settlement.delivery_id, "outcome lost; it will be tried again");
    }
    store.0.slots.finish(jobs.iter().map(|job| &job.settlement), store.now());
}

/// Notes what a settlement means for its endpoint's lane: something due, a hold, or nothing.
pub(crate) fn note_lane(
    lanes: &mut BTreeMap<EndpointId, (Timestamp, Timestamp)>,
    settlement: &Settlement,
    now: Timestamp,
) {
    let queued = settlement.state() == State::Queued;
    if !queued && settlement.hold_until.is_none() {
        return;
    }
    let lane = lanes.entry(settlement.endpoint_id).or_insert((Timestamp::NEVER, Timestamp::ZERO));
    if queued {
        lane.0 = settlement.due_at(now).min(lane.0);
    }
    lane.1 = settlement.hold_until.unwrap_or_default().max(lane.1);
}
