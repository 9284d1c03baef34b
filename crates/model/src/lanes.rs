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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Entropy;

    const NOW: Timestamp = Timestamp(1_000);
    const FINE: Effort = Effort::Answered { duration_ms: 5 };

    fn endpoints(n: usize) -> Vec<EndpointId> {
        let entropy = Entropy::seeded(7);
        (0..n).map(|_| EndpointId::new(Timestamp(1), &entropy)).collect()
    }

    #[test]
    fn a_thousand_greedy_lanes_leave_room_for_one_more() {
        let endpoints = endpoints(1001);
        let mut lanes = Lanes::<()>::new(2048);
        for _ in 0..10 {
            for endpoint in &endpoints[..1000] {
                let _ = lanes.admit(endpoint, 256, 1, NOW);
            }
        }
        assert!(lanes.free() >= 1);
        assert_eq!(lanes.admit(&endpoints[1000], 256, 1, NOW), Admission::Start);
    }

    #[test]
    fn one_lane_alone_gets_its_cap_and_keeps_nothing_waiting_until_it_moves() {
        let endpoint = endpoints(1)[0];
        let mut lanes = Lanes::new(2048);
        let admitted = (0..1000).map(|_| lanes.admit(&endpoint, 256, 1, NOW));
        let started = admitted.filter(|admission| *admission == Admission::Start).count();
        assert_eq!(started, 256);
        assert_eq!(lanes.finish(&endpoint, 1, FINE, NOW), None);
        assert_eq!(lanes.admit(&endpoint, 256, 1, NOW), Admission::Start);
        assert_eq!(lanes.admit(&endpoint, 256, 1, NOW), Admission::Wait);
        assert_eq!(lanes.admit(&endpoint, 256, 1, NOW), Admission::Full);
        assert_eq!(lanes.push(&endpoint, "next"), None);
        assert_eq!(lanes.finish(&endpoint, 1, FINE, NOW), Some("next"));
        assert_eq!(lanes.in_flight(), 256);
    }

    #[test]
    fn a_held_lane_starts_nothing_until_its_hold_ends() {
        let endpoint = endpoints(1)[0];
        let mut lanes = Lanes::<()>::new(8);
        lanes.hold(&endpoint, NOW.plus_ms(10), NOW);
        assert_eq!(lanes.admit(&endpoint, 4, 1, NOW.plus_ms(9)), Admission::Full);
        assert_eq!(lanes.admit(&endpoint, 4, 1, NOW.plus_ms(10)), Admission::Start);
    }

    #[test]
    fn a_lane_in_trouble_comes_down_to_half_and_back() {
        let endpoint = endpoints(1)[0];
        let mut lanes = Lanes::<()>::new(2048);
        let start = |lanes: &mut Lanes<()>, now| {
            let admitted = (0..200).map(|_| lanes.admit(&endpoint, 64, 1, now));
            let admitted: Vec<_> = admitted.collect();
            for waits in admitted.iter().filter(|admission| **admission == Admission::Wait) {
                lanes.withdraw(&endpoint, *waits, 1);
            }
            admitted.iter().filter(|admission| **admission == Admission::Start).count()
        };
        assert_eq!(start(&mut lanes, NOW), 64);
        assert_eq!(lanes.finish(&endpoint, 1, Effort::Refused, NOW), None);
        assert_eq!(lanes.cap(&endpoint, 64, NOW), 32);
        assert_eq!(start(&mut lanes, NOW), 0, "63 are under way");
        for _ in 0..63 {
            let _ = lanes.finish(&endpoint, 1, Effort::Refused, NOW);
        }
        assert_eq!(start(&mut lanes, NOW), 32);
        assert_eq!(start(&mut lanes, NOW.plus_ms(1_000)), 2);
        assert_eq!(start(&mut lanes, NOW.plus_ms(60_000)), 30);
    }

    #[test]
    fn a_pause_that_was_asked_for_can_be_ended() {
        let endpoint = endpoints(1)[0];
        let mut lanes = Lanes::<()>::new(8);
        lanes.hold(&endpoint, NOW.plus_ms(10_000), NOW);
        lanes.release_older(&endpoint, NOW);
        assert_eq!(lanes.admit(&endpoint, 4, 1, NOW), Admission::Full, "asked for just now");
        lanes.release_older(&endpoint, NOW.plus_ms(1));
        assert_eq!(lanes.admit(&endpoint, 4, 1, NOW), Admission::Start);
        lanes.hold(&endpoint, NOW.plus_ms(10_000), NOW);
        lanes.release(&endpoint);
        assert_eq!(lanes.admit(&endpoint, 4, 1, NOW), Admission::Start);
    }

    #[test]
    fn large_payloads_are_bounded_by_their_bytes() {
        let endpoint = endpoints(1)[0];
        let mut lanes = Lanes::<()>::new(2048);
        let large = MAX_BYTES / 4;
        let admitted = (0..10).map(|_| lanes.admit(&endpoint, 256, large, NOW));
        assert_eq!(admitted.filter(|admission| *admission == Admission::Start).count(), 4);
    }

    proptest! {
        /// Whatever happens, the books balance: nothing is lost, no bound is passed, and at the
        /// end everything is given back.
        #[test]
        fn books_always_balance(steps in proptest::collection::vec((0usize..5, 0u8..4), 0..400)) {
            let endpoints = endpoints(5);
            let mut lanes = Lanes::new(16);
            let mut started = [0u32; 5];
            let mut waiting = [0usize; 5];
            for (n, (at, step)) in steps.into_iter().enumerate() {
                let endpoint = &endpoints[at];
                let now = NOW.plus_ms(n as u64 * 100);
                let effort = if step == 3 { Effort::Refused } else { FINE };
                match step {
                    0 | 1 => match lanes.admit(endpoint, 6, 1, now) {
                        Admission::Start => started[at] += 1,
                        Admission::Wait => match lanes.push(endpoint, ()) {
                            Some(()) => started[at] += 1,
                            None => waiting[at] += 1,
                        },
                        Admission::Full => {}
                    },
                    _ if started[at] > 0 => match lanes.finish(endpoint, 1, effort, now) {
                        Some(()) => waiting[at] -= 1,
                        None => started[at] -= 1,
                    },
                    _ => {}
                }
                while lanes.catch_up(endpoint).is_some() {
                    started[at] += 1;
                    waiting[at] -= 1;
                }
                prop_assert!(started.iter().all(|n| *n <= 6));
                prop_assert_eq!(lanes.in_flight(), started.iter().sum::<u32>());
                prop_assert_eq!(lanes.waiting, waiting.iter().sum::<usize>());
                prop_assert!(lanes.in_flight() <= 16);
            }
            for (at, endpoint) in endpoints.iter().enumerate() {
                while started[at] > 0 {
                    if lanes.finish(endpoint, 1, FINE, NOW).is_none() {
                        started[at] -= 1;
                    }
                }
            }
            prop_assert_eq!((lanes.in_flight, lanes.waiting, lanes.bytes), (0, 0, 0));
            prop_assert!(lanes.lanes.is_empty());
        }
    }
}
