//! Slots: how many deliveries may be under way, in all and per endpoint, and how many more may
//! wait in memory for one.
//!
//! Each endpoint has a lane. A lane may hold its own cap of slots, but never more than the slots
//! that are still free: the dynamic threshold of Choudhury and Hahne ("Dynamic queue length
//! thresholds for shared-memory packet switches", 1998). A thousand receivers that hang thus
//! share what there is and always leave a few slots to the rest.
//!
//! A lane that moves may also keep work waiting: at most as much as it finished within the last
//! second. A lane that does not move keeps none, so that nothing waits in memory for a receiver
//! that hangs. What is not admitted stays in the store.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use crate::concurrency::{Effort, Learned, Pace};
use crate::{EndpointId, Timestamp};

/// Deliveries that wait in memory, in all and in one lane.
const MAX_WAITING: usize = 16_384;
const MAX_WAITING_IN_LANE: usize = 4_096;
/// Bytes of payload that are under way or waiting, beyond which nothing more is admitted.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Holds remembered at the most; what is forgotten is still held by its lane in the store.
const MAX_HOLDS: usize = 100_000;
/// Lanes whose cap is learned at the most; the others have the one that is configured.
const MAX_LEARNED: usize = 10_000;
const WINDOW_MS: u64 = 1_000;

/// The slots of one process. `T` is what waits: a delivery with everything it needs.
#[derive(Debug)]
pub struct Lanes<T> {
    slots: u32,
    in_flight: u32,
    waiting: usize,
    bytes: usize,
    lanes: HashMap<EndpointId, Lane<T>>,
    /// Lanes that asked for a pause.
    holds: HashMap<EndpointId, Hold>,
    /// Lanes that had trouble, and what they may hold since.
    learned: HashMap<EndpointId, Learned>,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    until: Timestamp,
    /// When it was last asked for.
    since: Timestamp,
}

#[derive(Debug)]
struct Lane<T> {
    in_flight: u32,
    /// Admitted to wait; some may not be in `queue` yet.
    waiting: usize,
    queue: VecDeque<T>,
    finished: Window,
    /// Slots it may hold: as configured, and as learned when it was last looked at.
    configured: u32,
    cap: u32,
    pace: Pace,
}

/// What finished in this second and in the one before.
#[derive(Debug, Default)]
struct Window {
    second: i64,
    now: usize,
    before: usize,
}

/// May a delivery be leased to this process?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has a slot.
    Start,
    /// It will get one soon: hand it in with [`Lanes::push`].
    Wait,
    Full,
}

impl<T> Lanes<T> {
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self {
            slots: slots.max(1),
            in_flight: 0,
            waiting: 0,
            bytes: 0,
            lanes: HashMap::new(),
            holds: HashMap::new(),
            learned: HashMap::new(),
        }
    }

    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Deliveries that wait in memory for a slot.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    #[must_use]
    pub const fn free(&self) -> u32 {
        self.slots - self.in_flight
    }

    /// How many more deliveries this lane may start now.
    #[must_use]
    pub fn room(&self, endpoint: &EndpointId, cap: u32) -> u32 {
        let free = self.free();
        let held = self.lanes.get(endpoint).map_or(0, |lane| lane.in_flight);
        // At least one, so that every endpoint moves as long as a slot is free at all.
        let limit = cap.min(free).max(1);
        limit.saturating_sub(held).min(free)
    }

    /// Takes a slot, or a place to wait for one, for a payload of so many bytes.
    #[must_use]
    pub fn admit(
        &mut self,
        endpoint: &EndpointId,
        cap: u32,
        bytes: usize,
        now: Timestamp,
    ) -> Admission {
        let fits = self.bytes == 0 || self.bytes + bytes <= MAX_BYTES;
        if !fits || self.is_on_hold(endpoint, now) {
            return Admission::Full;
        }
        let configured = cap;
        let cap = self.cap(endpoint, configured, now);
        let has_room = self.room(endpoint, cap) > 0;
        let lane = self.lanes.entry(*endpoint).or_insert_with(Lane::new);
        (lane.configured, lane.cap) = (configured, cap);
        if has_room && lane.waiting == 0 {
            lane.in_flight += 1;
            self.in_flight += 1;
            self.bytes += bytes;
            return Admission::Start;
        }
        let moves = lane.finished.within_a_second(now).min(MAX_WAITING_IN_LANE);
        if lane.waiting < moves && self.waiting < MAX_WAITING {
            lane.waiting += 1;
            self.waiting += 1;
            self.bytes += bytes;
            return Admission::Wait;
        }
        self.forget_if_empty(endpoint);
        Admission::Full
    }

    /// Counts bytes that were not known when their delivery was admitted.
    pub const fn charge(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Hands in what was admitted to wait. Gives it back, with a slot, if there is room now.
    pub fn push(&mut self, endpoint: &EndpointId, item: T) -> Option<T> {
        let has_room = !self.is_full(endpoint);
        let lane = self.lanes.get_mut(endpoint)?;
        if !has_room || !lane.queue.is_empty() {
            lane.queue.push_back(item);
            return None;
        }
        lane.waiting -= 1;
        self.waiting -= 1;
        lane.in_flight += 1;
        self.in_flight += 1;
        Some(item)
    }

    /// Gives a slot back after a delivery was settled. The lane's next one, if any waits, takes
    /// it over and is to be started.
    pub fn finish(
        &mut self,
        endpoint: &EndpointId,
        bytes: usize,
        effort: Effort,
        now: Timestamp,
    ) -> Option<T> {
        let lane = self.lanes.get_mut(endpoint)?;
        self.bytes = self.bytes.saturating_sub(bytes);
        lane.finished.count(now);
        let finished = lane.finished.within_a_second(now);
        let has_trouble = lane.pace.is_trouble(effort, finished, now);
        if has_trouble || !self.learned.is_empty() {
            self.learn(endpoint, has_trouble, now);
        }
        let lane = self.lanes.get_mut(endpoint)?;
        // A lane whose cap was lowered comes down to it first.
        if lane.in_flight <= lane.cap
            && let Some(next) = lane.queue.pop_front()
        {
            lane.waiting -= 1;
            self.waiting -= 1;
            return Some(next);
        }
        lane.in_flight = lane.in_flight.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.forget_if_empty(endpoint);
        None
    }

    /// What waits in a lane whose cap has grown again, with a slot.
    pub fn catch_up(&mut self, endpoint: &EndpointId) -> Option<T> {
        if self.learned.is_empty() || self.is_full(endpoint) {
            return None;
        }
        let lane = self.lanes.get_mut(endpoint)?;
        let next = lane.queue.pop_front()?;
        lane.waiting -= 1;
        self.waiting -= 1;
        lane.in_flight += 1;
        self.in_flight += 1;
        Some(next)
    }

    /// Whether a lane that holds slots may hold no more.
    #[must_use]
    pub fn is_full(&self, endpoint: &EndpointId) -> bool {
        let lane = self.lanes.get(endpoint);
        lane.is_some_and(|lane| self.room(endpoint, lane.cap) == 0)
    }

    /// How many slots a lane may hold now: as configured, or what trouble has taught.
    #[must_use]
    pub fn cap(&self, endpoint: &EndpointId, configured: u32, now: Timestamp) -> u32 {
        if self.learned.is_empty() {
            return configured;
        }
        self.learned.get(endpoint).map_or(configured, |learned| learned.cap(configured, now))
    }

    fn learn(&mut self, endpoint: &EndpointId, has_trouble: bool, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(endpoint) else { return };
        let before = self.learned.get(endpoint).copied();
        let after = if has_trouble {
            Some(Learned::after_trouble(before, lane.in_flight, lane.configured, now))
        } else {
            before.filter(|learned| !learned.is_over(lane.configured, now))
        };
        lane.cap = after.map_or(lane.configured, |learned| learned.cap(lane.configured, now));
        match after {
            Some(after) if before.is_some() || self.learned.len() < MAX_LEARNED => {
                self.learned.insert(*endpoint, after);
            }
            Some(_) => {
                // The longest ago is as good to forget as any: it has nearly all of it back.
                self.learned.retain(|_, learned| !learned.is_over(u32::MAX, now));
            }
            None => {
                self.learned.remove(endpoint);
            }
        }
    }

    /// Gives back what was admitted and then came to nothing.
    pub fn withdraw(&mut self, endpoint: &EndpointId, admission: Admission, bytes: usize) {
        let Some(lane) = self.lanes.get_mut(endpoint) else { return };
        match admission {
            Admission::Start => {
                lane.in_flight = lane.in_flight.saturating_sub(1);
                self.in_flight = self.in_flight.saturating_sub(1);
            }
            Admission::Wait => {
                lane.waiting = lane.waiting.saturating_sub(1);
                self.waiting = self.waiting.saturating_sub(1);
            }
            Admission::Full => return,
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        self.forget_if_empty(endpoint);
    }

    /// Starts nothing for this endpoint before `until`.
    pub fn hold(&mut self, endpoint: &EndpointId, until: Timestamp, now: Timestamp) {
        if self.holds.len() >= MAX_HOLDS {
            self.holds.retain(|_, hold| hold.until > now);
        }
        if self.holds.len() < MAX_HOLDS {
            let hold = self.holds.entry(*endpoint).or_insert(Hold { until, since: now });
            *hold = Hold { until: until.max(hold.until), since: now };
        }
    }

    /// Whatever pause it asked for, somebody let it go.
    pub fn release(&mut self, endpoint: &EndpointId) {
        self.holds.remove(endpoint);
    }

    /// The store does not hold this lane as of `now`: a pause that was asked for before was ended
    /// elsewhere.
    pub fn release_older(&mut self, endpoint: &EndpointId, now: Timestamp) {
        if self.holds.get(endpoint).is_some_and(|hold| hold.since < now) {
            self.holds.remove(endpoint);
        }
    }

    /// How many deliveries of this lane hold a slot.
    #[must_use]
    pub fn in_flight_of(&self, endpoint: &EndpointId) -> u32 {
        self.lanes.get(endpoint).map_or(0, |lane| lane.in_flight)
    }

    fn is_on_hold(&mut self, endpoint: &EndpointId, now: Timestamp) -> bool {
        let Some(hold) = self.holds.get(endpoint) else { return false };
        if hold.until > now {
            return true;
        }
        self.holds.remove(endpoint);
        false
    }

    /// The lanes that hold slots. At most as many as there are slots.
    pub fn busy(&self) -> impl Iterator<Item = &EndpointId> {
        self.lanes.iter().filter(|(_, lane)| lane.in_flight > 0).map(|(endpoint, _)| endpoint)
    }

    fn forget_if_empty(&mut self, endpoint: &EndpointId) {
        let empty = |lane: &Lane<T>| lane.in_flight == 0 && lane.waiting == 0;
        if self.lanes.get(endpoint).is_some_and(empty) {
            self.lanes.remove(endpoint);
        }
    }
}

impl<T> Lane<T> {
    fn new() -> Self {
        Self {
            in_flight: 0,
            waiting: 0,
            queue: VecDeque::new(),
            finished: Window::default(),
            configured: 1,
            cap: 1,
            pace: Pace::default(),
        }
    }
}

impl Window {
    fn count(&mut self, now: Timestamp) {
        self.turn(now);
        self.now += 1;
    }

    fn within_a_second(&mut self, now: Timestamp) -> usize {
        self.turn(now);
        self.now.max(self.before)
    }

    fn turn(&mut self, now: Timestamp) {
        let second = now.0.div_euclid(i64::try_from(WINDOW_MS).unwrap_or(1));
        if second == self.second {
            return;
        }
        self.before = if second == self.second + 1 { self.now } else { 0 };
        self.now = 0;
        self.second = second;
    }
}
