//! A deterministic simulation of the whole engine: a day of three nodes over one database, with
//! receivers that die, hang, refuse and ask for patience, crashes, stalls and failing writes, all
//! drawn from one seed.
//!
//! The store is the real one, and so are planning, claiming, settling, judging, breakers, windows,
//! replays and chores. Only time and the network are played: [`day::Day`] owns the one queue of
//! events and takes every step to its end before the next, so a seed has one course of events. The
//! [`checker::Checker`] sees each request that goes out and, at the end, what is stored.
//!
//! `DOORBELL_SEED=n` plays one seed and prints its course; `DOORBELL_SEEDS=n` plays the first n.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod chance;
mod checker;
mod course;
mod day;
mod ending;
mod engine;
mod events;
mod network;
mod sabotage;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use course::Course;
use day::Day;
use sabotage::Sabotage;

const SEEDS: u64 = 500;
/// Seeds that are played twice.
const REPEATED: u64 = 8;
/// Seeds that a planted bug may take to show.
const MOST_SEEDS: u64 = 40;
const MAX_THREADS: usize = 4;

/// What came of one seed: its course, and the first rule that was broken.
struct Played {
    course: Course,
    broken: Option<String>,
}

fn play(seed: u64, sabotage: Option<Sabotage>) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (course, broken) = runtime.block_on(async {
        let mut day = Day::begin(seed, sabotage).await;
        let outcome = day.play().await;
        (day.end(), outcome.err())
    });
    runtime.shutdown_background();
    Played { course, broken }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_seed_breaks_a_rule() {
    if let Some(seed) = number("DOORBELL_SEED") {
        let Played { course, broken } = play(seed, None);
        eprintln!("{course}\nseed {seed}, hash {:016x}", course.hash());
        assert_eq!(broken, None);
        return;
    }
    let (seeds, next) = (number("DOORBELL_SEEDS").unwrap_or(SEEDS), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let totals = Mutex::new(course::Totals::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || failures.lock().unwrap().len() >= 3 {
                        return;
                    }
                    let Played { course, broken } = play(seed, None);
                    totals.lock().unwrap().add(&course);
                    if let Some(broken) = broken {
                        let last = course.last();
                        let told = format!("seed {seed}: {broken}\n{last}\nDOORBELL_SEED={seed}");
                        failures.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    eprintln!("{seeds} seeds: {}", totals.into_inner().unwrap());
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_seed_has_one_course() {
    for seed in 0..REPEATED {
        let (one, two) = (play(seed, None), play(seed, None));
        if one.course.hash() != two.course.hash() {
            panic!("seed {seed} went two ways:\n{}", one.course.difference(&two.course));
        }
    }
}

#[test]
fn every_planted_bug_is_caught() {
    for sabotage in Sabotage::ALL {
        let one = |seed| play(seed, Some(sabotage)).broken.map(|broken| (seed, broken));
        let caught = (0..MOST_SEEDS).find_map(one);
        let (seed, broken) = caught.unwrap_or_else(|| panic!("{sabotage:?} went unnoticed"));
        eprintln!("{sabotage:?}, seed {seed}: {broken}");
        assert!(broken.starts_with(sabotage.breaks()), "{sabotage:?} was taken for: {broken}");
    }
}
