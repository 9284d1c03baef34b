//! What attempts come to, kept for a few seconds and handed to the store in batches: tallies for
//! the failure budgets, and events that somebody may want to hear of.
//!
//! A success of an endpoint that is not known to fail costs one look at a counter, or at a set
//! while others fail. Everything is bounded: what does not fit is counted and said, and a failure
//! that is not tallied comes again. A crash loses what was not handed over yet; the budget asks
//! the store for successes that it may have missed so.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::attempt::{Attempt, ErrorKind};
use model::failing::{FailureBudget, Tally};
use model::{AppId, EndpointId, Timestamp};
use store::{
    After, AttemptEvent, AttemptEventKind, Lease, MAX_ATTEMPT_EVENTS, MAX_FAILING, MAX_OUTCOMES,
    Outcomes as Tallies, Settlement, Store, StoreError,
};

/// Events that wait to be published.
const MAX_WAITING: usize = 10_000;
/// Batches of tallies handed over in one turn; the next turn goes on.
const MAX_ROUNDS: usize = MAX_FAILING / MAX_OUTCOMES;
/// A delivery is said to be failing when so many attempts have failed, and will be tried again.
pub const FAILING_AFTER: u32 = 4;

#[derive(Debug)]
pub(crate) struct Outcomes {
    budget: FailureBudget,
    /// Whether any endpoint is known to fail.
    any_fails: AtomicBool,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// Known to fail, here or in the store.
    failing: HashSet<EndpointId>,
    tallies: Tallies,
    events: VecDeque<AttemptEvent>,
    /// Events that did not fit.
    lost: u64,
}

/// What one attempt came to, if that is worth a note.
#[derive(Debug)]
pub(crate) struct Outcome {
    app_id: AppId,
    endpoint_id: EndpointId,
    at: Timestamp,
    /// None when it says nothing about the endpoint.
    succeeded: Option<bool>,
    event: Option<AttemptEvent>,
}

impl Outcomes {
    pub fn new(budget: FailureBudget) -> Self {
        Self { budget, any_fails: AtomicBool::new(false), books: Mutex::default() }
    }

    /// Read before the settlement is handed in, noted when that was ours. Boxed: there is none on
    /// the common path.
    pub fn of(
        &self,
        lease: &Lease,
        settlement: &Settlement,
        now: Timestamp,
    ) -> Option<Box<Outcome>> {
        let attempt = settlement.attempt.as_ref()?;
        let is_healthy = attempt.succeeded() && settlement.attempts_before < FAILING_AFTER;
        if is_healthy && !self.is_known(&settlement.endpoint_id) {
            return None;
        }
        Some(Box::new(Outcome {
            app_id: settlement.app_id,
            endpoint_id: settlement.endpoint_id,
            at: now,
            succeeded: self.counts(attempt),
            event: event(lease, attempt, settlement.after),
        }))
    }

    fn is_known(&self, endpoint: &EndpointId) -> bool {
        self.any_fails.load(Ordering::Relaxed) && self.lock().failing.contains(endpoint)
    }

    fn counts(&self, attempt: &Attempt) -> Option<bool> {
        match attempt.error {
            _ if self.budget.is_endless() => None,
            // These are not the endpoint's doing.
            Some(ErrorKind::PayloadGone | ErrorKind::Internal) => None,
            error => Some(error.is_none()),
        }
    }

    pub fn note(&self, outcome: Outcome) {
        let mut books = self.lock();
        if let Some(succeeded) = outcome.succeeded {
            books.tally(&outcome, succeeded);
            self.any_fails.store(!books.failing.is_empty(), Ordering::Relaxed);
        }
        let Some(event) = outcome.event else { return };
        if books.events.len() < MAX_WAITING {
            books.events.push_back(event);
        } else {
            books.lost += 1;
        }
    }

    /// Hands over what was noted, and learns which endpoints fail elsewhere.
    ///
    /// # Errors
    /// When the database fails; what was not handed over is kept for the next time.
    pub async fn flush(&self, store: &Store) -> Result<(), StoreError> {
        self.flush_events(store).await;
        if self.budget.is_endless() {
            return Ok(());
        }
        for _ in 0..MAX_ROUNDS {
            let tallies = self.take_tallies();
            if tallies.is_empty() {
                break;
            }
            if let Err(error) = store.note_outcomes(&tallies, &self.budget).await {
                self.lock().put_back(tallies);
                return Err(error);
            }
        }
        let failing = store.failing_endpoints().await?;
        let mut books = self.lock();
        books.failing = failing.into_iter().collect();
        // Seen since.
        let Books { failing, tallies, .. } = &mut *books;
        failing.extend(tallies.keys());
        self.any_fails.store(!failing.is_empty(), Ordering::Relaxed);
        Ok(())
    }

    fn take_tallies(&self) -> Tallies {
        let mut books = self.lock();
        let rest = books.tallies.keys().nth(MAX_OUTCOMES).copied();
        let rest = rest.map(|first| books.tallies.split_off(&first)).unwrap_or_default();
        std::mem::replace(&mut books.tallies, rest)
    }

    async fn flush_events(&self, store: &Store) {
        let (events, lost): (Vec<AttemptEvent>, u64) = {
            let mut books = self.lock();
            let n = books.events.len().min(MAX_ATTEMPT_EVENTS);
            (books.events.drain(..n).collect(), std::mem::take(&mut books.lost))
        };
        if lost > 0 {
            tracing::warn!(lost, "more operational events about attempts than can be published");
        }
        if events.is_empty() {
            return;
        }
        if let Err(error) = store.publish_attempt_events(&events).await {
            tracing::error!(%error, "operational events about attempts wait");
            let mut books = self.lock();
            for event in events.into_iter().rev() {
                if books.events.len() < MAX_WAITING {
                    books.events.push_front(event);
                } else {
                    books.lost += 1;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn tally(&mut self, outcome: &Outcome, succeeded: bool) {
        let Outcome { app_id, endpoint_id, at, .. } = outcome;
        let is_known = self.tallies.contains_key(endpoint_id);
        if !is_known && (self.tallies.len() >= MAX_FAILING) {
            return;
        }
        if succeeded && !is_known && !self.failing.contains(endpoint_id) {
            return;
        }
        if self.failing.len() < MAX_FAILING {
            self.failing.insert(*endpoint_id);
        }
        let (_, tally) = self.tallies.entry(*endpoint_id).or_insert((*app_id, Tally::default()));
        if succeeded {
            tally.succeeded(*at);
        } else {
            tally.failed(*at);
        }
    }

    fn put_back(&mut self, tallies: Tallies) {
        let mut later: Tallies = std::mem::take(&mut self.tallies);
        let mut merged = BTreeMap::new();
        for (endpoint, (app, earlier)) in tallies {
            let later = later.remove(&endpoint).map(|(_, later)| later).unwrap_or_default();
            merged.insert(endpoint, (app, earlier.then(later)));
        }
        merged.append(&mut later);
        self.tallies = merged;
    }
}

/// What there is to say of an attempt.
fn event(lease: &Lease, attempt: &Attempt, after: After) -> Option<AttemptEvent> {
    let kind = match after {
        After::Succeeded if attempt.number > FAILING_AFTER => AttemptEventKind::Recovered,
        After::Failed => AttemptEventKind::Exhausted,
        After::RetryAt(_) if attempt.number == FAILING_AFTER => AttemptEventKind::Failing,
        _ => return None,
    };
    let endpoint = &lease.route.endpoint;
    Some(AttemptEvent {
        kind,
        app_id: endpoint.app_id,
        endpoint_id: endpoint.id,
        endpoint_uid: endpoint.uid.clone(),
        attempt_id: attempt.id,
        at: attempt.at,
        status_code: attempt.status_code,
    })
}
