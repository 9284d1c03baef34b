//! The slots of this process: [`model::lanes::Lanes`] behind a lock, and the way to whoever
//! starts deliveries.
//!
//! A slot is taken when a delivery is planned or claimed and given back when it is settled. A
//! delivery that was admitted to wait is started by the settlement that frees its slot.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::lanes::{Admission, Lanes};
use model::{EndpointId, Timestamp};
use tokio::sync::mpsc;

use crate::hot::MAX_BATCH;
use crate::{Lease, Route, Settlement, Store};

/// Deliveries that are to wait in memory: enough to find one whenever a slot is free.
const ENOUGH_WAITING: usize = 128;
/// Deliveries that a commit may add even then: publishers are never stopped by one lane.
const MIN_HELD_BACK: usize = 16;

#[derive(Debug)]
pub(crate) struct Slots {
    /// Deliveries per message in the latest batch.
    fan_out: AtomicUsize,
    /// Deliveries settled since messages were last taken in.
    settled: AtomicUsize,
    lanes: Mutex<Lanes<Lease>>,
    endpoint_cap: u32,
    start: mpsc::UnboundedSender<Lease>,
    started: Mutex<Option<mpsc::UnboundedReceiver<Lease>>>,
}

impl Slots {
    pub fn new(slots: u32, endpoint_cap: u32) -> Self {
        // Bounded by the slots: nothing is sent without one.
        let (start, started) = mpsc::unbounded_channel();
        Self {
            fan_out: AtomicUsize::new(1),
            settled: AtomicUsize::new(0),
            lanes: Mutex::new(Lanes::new(slots)),
            endpoint_cap,
            start,
            started: Mutex::new(Some(started)),
        }
    }

    /// Notes the shape of a batch that was planned.
    pub fn note_fan_out(&self, messages: usize, deliveries: usize) {
        if messages > 0 {
            self.fan_out.store(deliveries.div_ceil(messages), Ordering::Relaxed);
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Lanes<Lease>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many deliveries to this endpoint may be under way at one time.
    pub fn cap_of(&self, own: Option<u32>) -> u32 {
        own.map_or(self.endpoint_cap, |own| own.min(self.endpoint_cap))
    }

    /// The same, of a route.
    pub fn cap(&self, route: &Route) -> u32 {
        route.endpoint.max_in_flight.map_or(self.endpoint_cap, |own| own.min(self.endpoint_cap))
    }

    /// Lanes without room: looking at them again would find nothing to start.
    pub fn busy(&self) -> Vec<EndpointId> {
        let lanes = self.lock();
        lanes.busy().filter(|id| lanes.is_full(id)).copied().collect()
    }

    /// How many messages the next commit may take in.
    ///
    /// Publishers wait for a commit, not for their deliveries: left alone they outrun them, and
    /// the wait moves from their request into the queue. So as soon as something waits in memory,
    /// as much is taken in as was settled, and as is missing to what is to wait.
    pub fn most_ingests(&self) -> usize {
        let settled = self.settled.swap(0, Ordering::Relaxed);
        let waiting = self.lock().waiting();
        if waiting == 0 {
            return MAX_BATCH;
        }
        let fan_out = self.fan_out.load(Ordering::Relaxed).max(1);
        let missing = (settled + ENOUGH_WAITING).saturating_sub(waiting);
        missing.max(MIN_HELD_BACK).div_ceil(fan_out)
    }

    /// Starts what has a slot; the rest waits for one in memory.
    pub fn hand_over(&self, leases: Vec<Lease>) {
        let mut lanes = self.lock();
        for lease in leases {
            let endpoint = lease.route.endpoint.id;
            let ready = match lease.admission {
                Admission::Wait => lanes.push(&endpoint, lease),
                Admission::Start | Admission::Full => Some(lease),
            };
            if let Some(lease) = ready {
                self.send(&mut lanes, lease);
            }
        }
    }

    /// Gives back what was admitted and then came to nothing.
    pub fn withdraw<'a>(&self, leases: impl IntoIterator<Item = &'a Lease>) {
        let mut lanes = self.lock();
        for lease in leases {
            lanes.withdraw(&lease.route.endpoint.id, lease.admission, lease.held_bytes);
        }
    }

    /// Gives back the slots of what was settled; what waited for them starts. True when a lane
    /// that had no room has some now.
    pub fn finish<'a>(
        &self,
        settled: impl Iterator<Item = &'a Settlement>,
        now: Timestamp,
    ) -> bool {
        let mut lanes = self.lock();
        let mut made_room = false;
        let mut count = 0;
        for settlement in settled {
            count += 1;
            let endpoint = &settlement.endpoint_id;
            if let Some(until) = settlement.hold_until {
                lanes.hold(endpoint, until, now);
            }
            let was_full = lanes.is_full(endpoint);
            match lanes.finish(endpoint, settlement.held_bytes, settlement.effort(), now) {
                Some(next) => self.send(&mut lanes, next),
                None => made_room |= was_full,
            }
            while let Some(next) = lanes.catch_up(endpoint) {
                self.send(&mut lanes, next);
            }
        }
        self.settled.fetch_add(count, Ordering::Relaxed);
        made_room
    }

    fn send(&self, lanes: &mut Lanes<Lease>, mut lease: Lease) {
        lease.admission = Admission::Start;
        // Without a deliverer the lease runs out and another process finds the delivery.
        if let Err(back) = self.start.send(lease) {
            let lease = back.0;
            lanes.withdraw(&lease.route.endpoint.id, lease.admission, lease.held_bytes);
        }
    }
}

impl Store {
    /// Deliveries that are to be started by this process. One taker.
    #[must_use]
    pub fn take_fresh(&self) -> Option<mpsc::UnboundedReceiver<Lease>> {
        self.0.slots.started.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Gives up a lease without an outcome: the slot is free, and the lease runs out by itself.
    pub fn abandon(&self, lease: &Lease) {
        self.0.slots.withdraw([lease]);
    }
}
