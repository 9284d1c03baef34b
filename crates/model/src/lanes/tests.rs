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
