//! What the attempts of this process say about their endpoints.
//!
//! Every attempt passes here when it ends. Endpoints that only succeed are not remembered: for them
//! it is one look at a counter, or at a map while others fail. When a watch finds that an endpoint
//! does not work, the breaker in the store opens; what this process still has in its hands for that
//! endpoint from before is given back untried.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::attempt::Attempt;
use model::breaker::{Event, Health, Observation, State, Thresholds, Trip, Watch};
use model::{EndpointId, Timestamp};
use store::{BreakerOf, Lease, Settlement, Store};

/// Endpoints watched at the most; beyond them only those that fail are let in, for calm ones.
const MAX_WATCHED: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Breakers {
    /// How many are watched: what most attempts ask.
    count: AtomicUsize,
    watched: Mutex<HashMap<EndpointId, Watched>>,
}

#[derive(Debug, Default)]
struct Watched {
    watch: Watch,
    /// What is counted was begun in this era of the breaker.
    era: i64,
    /// It was found not to work: what was begun in an earlier era waits until then.
    held_until: Option<Timestamp>,
}

/// What an attempt means for its breaker.
#[derive(Debug)]
pub(crate) enum Verdict {
    Moves(Event),
    /// It was a probe and says nothing.
    ProbeAgain,
}

fn era_of(lease: &Lease) -> i64 {
    lease.route.breaker.as_ref().map_or(0, |breaker| breaker.era)
}

impl Breakers {
    /// Until when nothing is to be tried that was begun before its endpoint was found not to work.
    pub fn held(&self, lease: &Lease, now: Timestamp) -> Option<Timestamp> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let watched = self.lock();
        let found = watched.get(&lease.route.endpoint.id)?;
        let is_older = era_of(lease) < found.era;
        found.held_until.filter(|until| is_older && *until > now)
    }

    /// Counts an attempt.
    pub fn observe(
        &self,
        lease: &Lease,
        attempt: Option<&Attempt>,
        now: Timestamp,
    ) -> Option<Verdict> {
        let thresholds = &lease.route.thresholds;
        let observation = attempt.map(Observation::from);
        if lease.probe {
            return Some(of_probe(observation, thresholds, now));
        }
        let observation = observation?;
        let is_fine = observation.error.is_none() && !observation.is_slow(thresholds);
        if is_fine && self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.watch(lease, &observation, is_fine, now)
    }

    fn watch(
        &self,
        lease: &Lease,
        observation: &Observation,
        is_fine: bool,
        now: Timestamp,
    ) -> Option<Verdict> {
        let thresholds = &lease.route.thresholds;
        let (endpoint, era) = (lease.route.endpoint.id, era_of(lease));
        let mut watched = self.lock();
        if !watched.contains_key(&endpoint) {
            if is_fine || observation.health() == Health::Unknown {
                return None;
            }
            if watched.len() >= MAX_WATCHED {
                watched.retain(|_, one| !one.watch.is_calm(thresholds.window_ms, now));
            }
            if watched.len() < MAX_WATCHED {
                watched.insert(endpoint, Watched { era, ..Watched::default() });
            }
        }
        let found = watched.get_mut(&endpoint)?;
        if era > found.era {
            *found = Watched { era, ..Watched::default() };
        }
        // Begun before it opened: it is recorded, and says nothing about now.
        if era < found.era {
            return None;
        }
        let trip = found.watch.observe(observation, thresholds, now);
        if trip.is_some() {
            let until = now.plus_ms(thresholds.open_ms);
            *found = Watched { era: era + 1, held_until: Some(until), ..Watched::default() };
        } else if found.watch.is_calm(thresholds.window_ms, now) {
            watched.remove(&endpoint);
        }
        self.count.store(watched.len(), Ordering::Relaxed);
        trip.map(|trip| Verdict::Moves(Event::Tripped(trip)))
    }

    /// The store did not take it: it is counted anew.
    fn forget(&self, endpoint: &EndpointId) {
        let mut watched = self.lock();
        watched.remove(endpoint);
        self.count.store(watched.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first probe of a pause that is over says so to everybody.
    pub async fn begin_probe(&self, store: &Store, lease: &Lease) {
        let breaker = lease.route.breaker.as_ref();
        if breaker.is_some_and(|breaker| breaker.state == State::Open)
            && let Err(error) = store.move_breaker(&of(lease), Event::Probing).await
        {
            tracing::warn!(endpoint = %lease.route.endpoint.id, %error, "not noted as half-open");
        }
    }

    /// Lets a verdict have its effect, after what it came from is durable.
    pub async fn act(&self, store: &Store, lease: &Lease, verdict: Verdict, is_held: bool) {
        let endpoint = &lease.route.endpoint;
        let done = match verdict {
            Verdict::Moves(event) => store.move_breaker(&of(lease), event).await,
            // Its lane waits for as long as the receiver asked.
            Verdict::ProbeAgain if is_held => Ok(None),
            Verdict::ProbeAgain => {
                store.probe_again(endpoint.app_id, endpoint.id).await.map(|()| None)
            }
        };
        match done {
            Ok(Some(after)) => tracing::info!(
                endpoint = %endpoint.id, state = after.state.as_str(), reason = after.reason,
                "breaker"
            ),
            Ok(None) => {}
            Err(error) => {
                self.forget(&endpoint.id);
                tracing::error!(endpoint = %endpoint.id, %error, "the breaker was not moved");
            }
        }
    }
}

/// What is settled of a lease that is given back because its endpoint does not work.
pub(crate) fn given_back(lease: &Lease, until: Timestamp) -> Settlement {
    let mut settlement = lease.settlement(None, store::After::Released);
    settlement.hold_until = Some(until);
    settlement
}

fn of(lease: &Lease) -> BreakerOf<'_> {
    BreakerOf {
        endpoint: &lease.route.endpoint,
        thresholds: &lease.route.thresholds,
        era: Some(era_of(lease)),
        by: None,
    }
}

fn of_probe(observation: Option<Observation>, thresholds: &Thresholds, now: Timestamp) -> Verdict {
    let Some(observation) = observation else { return Verdict::ProbeAgain };
    match observation.health() {
        Health::Works => Verdict::Moves(Event::ProbeSucceeded),
        Health::Unknown => Verdict::ProbeAgain,
        Health::Fails => {
            let mut watch = Watch::default();
            let _ = watch.observe(&observation, thresholds, now);
            let reason = "a probe failed".to_owned();
            let figures = watch.figures(thresholds);
            Verdict::Moves(Event::ProbeFailed(Trip { reason, figures }))
        }
    }
}
