use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000;

fn quota(limit: u64, window_ms: u64) -> Quota {
    Quota { limit, window_ms }
}

/// The most that was admitted in any stretch of `window_ms`, both ends included.
fn worst(admitted: &[(u64, u64)], window_ms: u64) -> u64 {
    let (mut from, mut sum, mut worst) = (0, 0, 0);
    for &(at, cost) in admitted {
        sum += cost;
        while at - admitted[from].0 > window_ms {
            sum -= admitted[from].1;
            from += 1;
        }
        worst = worst.max(sum);
    }
    worst
}

/// The exact answer: a log of every use.
#[derive(Default)]
struct Log(VecDeque<u64>);

impl Log {
    fn take(&mut self, quota: Quota, now_ms: u64) -> bool {
        while self.0.front().is_some_and(|at| now_ms - at > quota.window_ms) {
            self.0.pop_front();
        }
        let fits = (self.0.len() as u64) < quota.limit;
        if fits {
            self.0.push_back(now_ms);
        }
        fits
    }
}

/// Admitted by a window, as a part of what the exact log admits.
fn part_of_exact(quota: Quota, arrivals: &[u64]) -> f64 {
    let (mut window, mut log) = (Window::default(), Log::default());
    let (mut ours, mut exact) = (0_u32, 0_u32);
    for &now_ms in arrivals {
        ours += u32::from(window.take(quota, now_ms, 1));
        exact += u32::from(log.take(quota, now_ms));
    }
    f64::from(ours) / f64::from(exact)
}

/// Arrivals with exponential gaps of the given mean.
fn poisson(mean_ms: f64, until_ms: u64, seed: u64) -> Vec<u64> {
    let entropy = crate::Entropy::seeded(seed);
    let (mut at, mut arrivals) = (0.0, Vec::new());
    loop {
        let even = (entropy.below(1 << 30) as f64 + 1.0) / f64::from(1 << 30);
        at -= mean_ms * even.ln();
        if at >= until_ms as f64 {
            return arrivals;
        }
        arrivals.push(at as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn never_more_than_the_limit_in_any_window(
        limit in 1..250_u64,
        window_ms in 1..5_000_u64,
        arrivals in prop::collection::vec((0..400_u64, 0..9_u64), 1..600),
    ) {
        let quota = quota(limit, window_ms);
        let (mut window, mut now_ms, mut admitted) = (Window::default(), 0, Vec::new());
        for (gap, cost) in arrivals {
            now_ms += gap * gap / 400;
            if window.take(quota, now_ms, cost) {
                admitted.push((now_ms, cost));
            }
            prop_assert!(window.cells().count() <= MAX_CELLS);
        }
        prop_assert!(worst(&admitted, window_ms) <= limit);
    }

    /// Whatever the figures become on the way, what was taken under the ones before still counts.
    #[test]
    fn changed_figures_keep_what_was_counted(
        changes in prop::collection::vec((1..50_u64, 60..9_000_u64), 1..20),
        gaps in prop::collection::vec(0..100_u64, 50..200),
    ) {
        let smallest = changes.iter().map(|change| change.1).min().unwrap_or(1);
        let most = changes.iter().map(|change| change.0).max().unwrap_or(1);
        let (mut window, mut now_ms, mut admitted) = (Window::default(), 0, Vec::new());
        for (n, gap) in gaps.iter().enumerate() {
            now_ms += gap;
            let (limit, window_ms) = changes[n % changes.len()];
            if window.take(quota(limit, window_ms), now_ms, 1) {
                admitted.push((now_ms, 1));
            }
        }
        prop_assert!(worst(&admitted, smallest) <= most);
    }

    /// A cell may keep the moment of what was given back, so that its rest counts a little longer,
    /// never shorter.
    #[test]
    fn what_is_given_back_is_free_at_once(
        steps in prop::collection::vec((0..50_u64, 1..5_u64, any::<bool>()), 1..200),
    ) {
        let quota = quota(1_000, 1_000);
        let (mut window, mut plain, mut now_ms) = (Window::default(), Window::default(), 0);
        for (gap, cost, back) in steps {
            now_ms += gap;
            let before = window.used(quota, now_ms);
            window.add(quota, now_ms, cost);
            if back {
                window.give_back(now_ms, cost);
                prop_assert_eq!(window.used(quota, now_ms), before);
            } else {
                plain.add(quota, now_ms, cost);
            }
            prop_assert!(window.used(quota, now_ms) >= plain.used(quota, now_ms));
        }
        prop_assert_eq!(window.used(quota, now_ms + 1_001), 0);
    }

    #[test]
    fn a_refused_cost_fits_when_it_is_said_to(
        gaps in prop::collection::vec(0..40_u64, 1..100),
        cost in 1..10_u64,
    ) {
        let quota = quota(10, 500);
        let (mut window, mut now_ms) = (Window::default(), 0);
        for gap in gaps {
            now_ms += gap;
            if !window.take(quota, now_ms, cost) {
                let wait = window.reset_ms(quota, now_ms, cost);
                prop_assert!(!window.clone().peek(quota, now_ms + wait - 1, cost));
                prop_assert!(window.clone().peek(quota, now_ms + wait, cost));
            }
        }
    }
}

#[test]
fn nearly_all_that_the_exact_log_admits() {
    for (limit, load) in [(10, 1.0), (100, 0.8), (100, 1.0), (100, 1.5), (1_000, 1.0), (100, 20.0)]
    {
        let mean_ms = MINUTE as f64 / (limit as f64 * load);
        let part = part_of_exact(quota(limit, MINUTE), &poisson(mean_ms, 200 * MINUTE, limit));
        println!("limit {limit} load {load}: {part:.4}");
        assert!(part >= 0.99, "limit {limit}, load {load}: {part}");
    }
}

#[test]
fn a_client_that_never_rests_gets_its_limit_each_window() {
    let quota = quota(100, MINUTE);
    let arrivals: Vec<u64> = (0..100 * MINUTE).step_by(50).collect();
    let part = part_of_exact(quota, &arrivals);
    assert!(part >= 0.99, "{part}");
}

#[test]
fn a_cost_is_taken_whole_or_not_at_all() {
    let quota = quota(10, 1_000);
    let mut window = Window::default();
    assert!(window.take(quota, 0, 7));
    assert!(!window.take(quota, 1, 4));
    assert_eq!(window.remaining(quota, 1), 3);
    assert!(window.take(quota, 1, 3));
    assert_eq!(window.reset_ms(quota, 2, 1), 1_000);
    assert_eq!(window.reset_ms(quota, 2, 11), 1_000, "it never fits: a whole window");
}

#[test]
fn a_clock_that_goes_back_frees_nothing() {
    let quota = quota(1, 1_000);
    let mut window = Window::default();
    assert!(window.take(quota, 5_000, 1));
    assert!(!window.take(quota, 3_000, 1));
    assert!(!window.take(quota, 6_000, 1));
    assert!(window.take(quota, 6_001, 1));
}
