//! What the sink knows: its lanes, what the driver waits for, and which server is calling.

use std::collections::{HashMap, HashSet, VecDeque};

use super::lane::{Arrival, Lane, LaneReport, Verdict};

/// How many of the latest answers are remembered by their time.
const RECENT_ANSWERS: usize = 8_192;

#[derive(Default)]
pub struct Lanes {
    by_name: HashMap<String, Lane>,
    awaited: Option<Awaited>,
    recent: VecDeque<u64>,
    /// Raised by the driver when a new server starts; a connection belongs to the generation
    /// in which it was accepted.
    generation: u64,
    first_of_generation_ns: Option<u64>,
    pub hanging: u64,
    /// What was sent before is repeated on purpose: its age is nobody's latency.
    since_ns: u64,
}

struct Awaited {
    lane: String,
    missing: HashSet<Box<str>>,
}

impl Lanes {
    /// Counts an arrival and decides its answer. The second value says whether the driver may be
    /// waiting for exactly this.
    pub fn arrive(&mut self, arrival: &Arrival<'_>) -> (Verdict, bool) {
        if !self.by_name.contains_key(arrival.lane) {
            self.by_name.insert(arrival.lane.to_owned(), Lane::new(arrival.now_ns, self.since_ns));
        }
        let Some(lane) = self.by_name.get_mut(arrival.lane) else {
            return (Verdict::Failed, false);
        };
        let first_of_generation =
            arrival.generation == self.generation && self.first_of_generation_ns.is_none();
        if first_of_generation {
            self.first_of_generation_ns = Some(arrival.now_ns);
        }
        if lane.record(arrival) == Verdict::Failed {
            return (Verdict::Failed, first_of_generation);
        }
        if self.recent.len() == RECENT_ANSWERS {
            self.recent.pop_front();
        }
        self.recent.push_back(arrival.now_ns);
        let last_awaited = self.strike_off(arrival.lane, arrival.message_id);
        (Verdict::Answered, first_of_generation || last_awaited)
    }

    fn strike_off(&mut self, lane: &str, message_id: &str) -> bool {
        let Some(awaited) = self.awaited.as_mut().filter(|awaited| awaited.lane == lane) else {
            return false;
        };
        awaited.missing.remove(message_id) && awaited.missing.is_empty()
    }

    /// From now on watches for those of `ids` that the lane has not answered yet.
    pub fn watch_for<'a>(&mut self, lane: &str, ids: impl Iterator<Item = &'a str>) {
        let answered = |id: &str| self.by_name.get(lane).is_some_and(|lane| lane.has_answered(id));
        let missing = ids.filter(|id| !answered(id)).map(Box::from).collect();
        self.awaited = Some(Awaited { lane: lane.to_owned(), missing });
    }

    pub fn missing(&self) -> usize {
        self.awaited.as_ref().map_or(0, |awaited| awaited.missing.len())
    }

    pub fn missing_sample(&self, count: usize) -> Vec<String> {
        let missing = self.awaited.iter().flat_map(|awaited| &awaited.missing);
        missing.take(count).map(|id| id.to_string()).collect()
    }

    pub fn report(&self, lane: &str) -> LaneReport {
        self.by_name.get(lane).map(Lane::report).unwrap_or_default()
    }

    pub fn forget(&mut self, now_ns: u64) {
        self.by_name.clear();
        self.since_ns = now_ns;
        self.awaited = None;
    }

    pub fn next_generation(&mut self) {
        self.generation += 1;
        self.first_of_generation_ns = None;
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn first_of_generation_ns(&self) -> Option<u64> {
        self.first_of_generation_ns
    }

    pub fn answered_since(&self, since_ns: u64) -> usize {
        self.recent.iter().rev().take_while(|at| **at >= since_ns).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival<'a>(message_id: &'a str, fail_percent: u64, generation: u64) -> Arrival<'a> {
        Arrival { lane: "a", message_id, body: b"", fail_percent, generation, now_ns: 10 }
    }

    #[test]
    fn a_repeated_id_is_a_duplicate_and_not_another_message() {
        let mut lanes = Lanes::default();
        for id in ["m1", "m2", "m1"] {
            assert_eq!(lanes.arrive(&arrival(id, 0, 0)).0, Verdict::Answered);
        }
        let report = lanes.report("a");
        assert_eq!((report.distinct, report.answered, report.duplicates()), (2, 3, 1));
        assert_eq!(report.unreadable, 3);
    }

    #[test]
    fn a_chosen_id_fails_once_and_the_retry_is_no_duplicate() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.arrive(&arrival("m1", 100, 0)).0, Verdict::Failed);
        assert_eq!(lanes.arrive(&arrival("m1", 100, 0)).0, Verdict::Answered);
        let report = lanes.report("a");
        assert_eq!((report.failed, report.duplicates()), (1, 0));
    }

    #[test]
    fn the_last_awaited_arrival_is_told() {
        let mut lanes = Lanes::default();
        lanes.arrive(&arrival("m1", 0, 0));
        lanes.watch_for("a", ["m1", "m2"].into_iter());
        assert_eq!((lanes.missing(), lanes.missing_sample(5)), (1, vec!["m2".to_owned()]));
        assert!(lanes.arrive(&arrival("m2", 0, 0)).1);
        assert_eq!(lanes.missing(), 0);
    }

    #[test]
    fn only_a_connection_of_the_new_generation_counts_as_its_first() {
        let mut lanes = Lanes::default();
        lanes.next_generation();
        lanes.arrive(&arrival("m1", 0, 0));
        assert_eq!(lanes.first_of_generation_ns(), None);
        assert!(lanes.arrive(&arrival("m1", 0, 1)).1);
        assert_eq!(lanes.first_of_generation_ns(), Some(10));
    }
}
