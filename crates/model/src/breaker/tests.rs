use proptest::prelude::*;

use super::*;
use crate::attempt::ErrorKind;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

const WORKS: Observation = Observation { status: Some(200), error: None, duration_ms: 20 };
const FAILS: Observation =
    Observation { status: Some(500), error: Some(ErrorKind::Status), duration_ms: 30 };
const REFUSED: Observation =
    Observation { status: None, error: Some(ErrorKind::Connect), duration_ms: 1 };
const SLOWED: Observation =
    Observation { status: Some(429), error: Some(ErrorKind::Status), duration_ms: 5 };

fn watch(attempts: &[Observation], thresholds: &Thresholds) -> Option<Trip> {
    let mut watch = Watch::default();
    let mut trips = attempts.iter().map(|attempt| watch.observe(attempt, thresholds, NOW));
    trips.find_map(|trip| trip)
}

#[test]
fn failures_in_a_row_trip_at_their_number() {
    let thresholds = Thresholds::default();
    assert_eq!(watch(&[FAILS; 9], &thresholds), None);
    let trip = watch(&[REFUSED; 10], &thresholds).unwrap();
    assert_eq!(trip.reason, "10 attempts in a row failed");
    assert_eq!((trip.figures.attempts, trip.figures.failures), (10, 10));
    assert_eq!(trip.figures.by_error["connect"], 10);
    assert_eq!(trip.figures.last_error.as_deref(), Some("connect"));
    let with_a_success = [[FAILS; 9].as_slice(), &[WORKS], &[FAILS; 9]].concat();
    assert_eq!(watch(&with_a_success, &Thresholds { failure_percent: 0, ..thresholds }), None);
}

#[test]
fn a_share_trips_only_among_enough_attempts() {
    let thresholds = Thresholds { consecutive_failures: 0, ..Thresholds::default() };
    let half = [FAILS, WORKS].repeat(9);
    assert_eq!(watch(&half, &thresholds), None, "18 attempts are too few");
    let trip = watch(&[half, vec![FAILS, FAILS]].concat(), &thresholds).unwrap();
    assert_eq!(trip.reason, "11 of 20 attempts failed");
    assert_eq!(trip.figures.by_status_class["5xx"], 11);
    assert_eq!(trip.figures.by_status_class["2xx"], 9);
}

#[test]
fn slowness_trips_only_when_it_is_asked_for() {
    let slow = Observation { duration_ms: 9_000, ..WORKS };
    assert_eq!(watch(&[slow; 100], &Thresholds::default()), None);
    let thresholds = Thresholds { slow_ms: 5_000, ..Thresholds::default() };
    let trip = watch(&[slow; 100], &thresholds).unwrap();
    assert_eq!(trip.reason, "20 of 20 attempts took 5000 ms or longer");
    assert_eq!(trip.figures.mean_ms, 9_000);
}

#[test]
fn who_asks_for_time_or_is_gone_is_not_held_to_fail() {
    let gone = Observation { status: Some(410), ..FAILS };
    let erased = Observation { status: None, error: Some(ErrorKind::PayloadGone), duration_ms: 0 };
    for attempt in [SLOWED, gone, erased] {
        assert_eq!(attempt.health(), Health::Unknown);
        assert_eq!(watch(&[attempt; 100], &Thresholds::default()), None);
    }
    let bad_request = Observation { status: Some(400), ..FAILS };
    let trip = watch(&[bad_request; 100], &Thresholds::default()).unwrap();
    assert_eq!(trip.figures.by_status_class["4xx"], 10, "counted apart");
}

#[test]
fn what_left_the_window_is_forgotten() {
    let thresholds = Thresholds::default();
    let mut watch = Watch::default();
    for n in 0..9 {
        assert_eq!(watch.observe(&FAILS, &thresholds, NOW.plus_ms(n)), None);
    }
    let later = NOW.plus_ms(thresholds.window_ms + 10_000);
    assert!(watch.is_calm(thresholds.window_ms, later));
    assert_eq!(watch.observe(&FAILS, &thresholds, later), None, "the first in a row");
    assert_eq!(watch.figures(&thresholds).attempts, 1);
}

#[test]
fn pauses_grow_up_to_the_longest_and_a_success_ends_them() {
    let thresholds = Thresholds { jitter_percent: 0, ..Thresholds::default() };
    let entropy = Entropy::seeded(1);
    let trip = || Trip { reason: "dead".to_owned(), figures: Figures::default() };
    let moved = |breaker: &Breaker, event, now| {
        let Step::Moved(after) = breaker.step(event, &thresholds, now, &entropy) else {
            panic!("it did not move")
        };
        after
    };
    let mut breaker = moved(&Breaker::default(), Event::Tripped(trip()), NOW);
    let mut pauses_s = vec![breaker.until.since_ms(breaker.since) / 1_000];
    for _ in 0..6 {
        let now = breaker.until;
        breaker = moved(&breaker, Event::Probing, now);
        breaker = moved(&breaker, Event::ProbeFailed(trip()), now);
        pauses_s.push(breaker.until.since_ms(breaker.since) / 1_000);
    }
    assert_eq!(pauses_s, [30, 60, 120, 240, 480, 600, 600]);
    assert_eq!((breaker.opened_times, breaker.era, breaker.version), (7, 7, 13));
    let now = breaker.until;
    breaker = moved(&breaker, Event::Probing, now);
    breaker = moved(&breaker, Event::ProbeSucceeded, now);
    assert_eq!((breaker.state, breaker.opened_times, breaker.era), (State::Closed, 0, 7));
}

#[test]
fn all_probes_must_succeed() {
    let thresholds = Thresholds { probes: 3, ..Thresholds::default() };
    let mut breaker = Breaker { state: State::HalfOpen, ..Breaker::default() };
    for _ in 0..2 {
        match breaker.step(Event::ProbeSucceeded, &thresholds, NOW, &Entropy::seeded(1)) {
            Step::Counted(after) => breaker = after,
            step => panic!("{step:?}"),
        }
    }
    let step = breaker.step(Event::ProbeSucceeded, &thresholds, NOW, &Entropy::seeded(1));
    assert!(matches!(step, Step::Moved(Breaker { state: State::Closed, .. })));
}

#[test]
fn bad_thresholds_are_named() {
    let good = Thresholds::default();
    assert_eq!(good.check(), Ok(()));
    let bad = good.with(&Override { open_max_ms: Some(1_000), ..Override::default() });
    assert_eq!(bad.check().unwrap_err().to_string(), "openMaxMs must be from 30000 to 86400000");
}

fn events() -> impl Strategy<Value = Event> {
    let trip = Trip { reason: "dead".to_owned(), figures: Figures::default() };
    prop_oneof![
        Just(Event::Tripped(trip.clone())),
        Just(Event::Probing),
        Just(Event::ProbeSucceeded),
        Just(Event::ProbeFailed(trip)),
        (0u64..100_000).prop_map(|ms| Event::OpenedByHand {
            until: NOW.plus_ms(ms),
            reason: "by hand".to_owned()
        }),
        Just(Event::ClosedByHand { reason: "by hand".to_owned() }),
    ]
}

proptest! {
    #[test]
    fn only_legal_moves_are_made(
        events in proptest::collection::vec((events(), 0u64..60_000), 0..100),
        probes in 1u32..4,
    ) {
        let thresholds = Thresholds { probes, ..Thresholds::default() };
        let entropy = Entropy::seeded(3);
        let (mut breaker, mut now) = (Breaker::default(), NOW);
        for (event, passed_ms) in events {
            now = now.plus_ms(passed_ms);
            let by_hand = matches!(
                event, Event::OpenedByHand { .. } | Event::ClosedByHand { .. }
            );
            match breaker.step(event, &thresholds, now, &entropy) {
                Step::Nothing => {}
                Step::Counted(after) => {
                    prop_assert_eq!(breaker.state, State::HalfOpen);
                    prop_assert_eq!(after.successes, breaker.successes + 1);
                    prop_assert!(after.successes < probes);
                    breaker = after;
                }
                Step::Moved(after) => {
                    let legal = matches!(
                        (breaker.state, after.state),
                        (State::Closed, State::Open)
                            | (State::Open, State::HalfOpen)
                            | (State::HalfOpen, State::Closed | State::Open)
                    );
                    prop_assert!(legal || by_hand, "{:?} to {:?}", breaker.state, after.state);
                    prop_assert_eq!(after.version, breaker.version + 1);
                    prop_assert_eq!(after.by_hand, by_hand);
                    prop_assert_eq!(after.era > breaker.era, after.state == State::Open);
                    if after.state == State::HalfOpen {
                        prop_assert!(breaker.until <= now, "its pause was not over");
                    }
                    if after.state == State::Open && !by_hand {
                        let pause_ms = after.until.since_ms(now);
                        prop_assert!(pause_ms >= thresholds.open_ms);
                        prop_assert!(pause_ms <= thresholds.open_max_ms * 11 / 10 + 1);
                    }
                    breaker = after;
                }
            }
        }
    }

    #[test]
    fn an_endpoint_that_works_never_trips(durations in proptest::collection::vec(0u32..40_000, 1..200)) {
        let attempts: Vec<Observation> =
            durations.iter().map(|ms| Observation { duration_ms: *ms, ..WORKS }).collect();
        prop_assert_eq!(watch(&attempts, &Thresholds::default()), None);
    }

    #[test]
    fn a_dead_one_trips_within_the_stated_number(
        before in proptest::collection::vec(prop_oneof![Just(WORKS), Just(FAILS)], 0..100),
        limit in 1u32..20,
    ) {
        let thresholds = Thresholds { consecutive_failures: limit, ..Thresholds::default() };
        let mut all = before;
        all.extend(std::iter::repeat_n(REFUSED, limit as usize));
        prop_assert!(watch(&all, &thresholds).is_some());
    }
}
