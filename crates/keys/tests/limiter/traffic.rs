//! What is admitted of adversarial, bursty and Poisson traffic, against an exact log of it.

use std::collections::VecDeque;

use model::Entropy;
use model::key::limit::{Limit, Mode};

use crate::world::{MINUTE, Nodes, PATIENCE, limit, redis_url, somebody};

/// As often as the background does.
const TICK_MS: u64 = 100;

/// One request: when, and at which node.
type Arrival = (u64, usize);

struct Seen {
    /// The most that was admitted in any window, as a part of the limit.
    worst: f64,
    /// All that was admitted, as a part of what the exact log admits.
    part: f64,
    requests: u64,
    questions: u64,
}

/// Sends the arrivals through `count` nodes.
async fn send(url: &str, count: u32, limit: &Limit, arrivals: &[Arrival]) -> Seen {
    let (nodes, who) = (Nodes::new(url, count, PATIENCE), somebody());
    let (mut admitted, mut next_tick) = (Vec::new(), TICK_MS);
    for &(at, node) in arrivals {
        while next_tick <= at {
            nodes.advance_to(next_tick);
            nodes.tick().await;
            // Where nothing comes, nothing ends either.
            next_tick = (next_tick + TICK_MS).max((at - at % TICK_MS).saturating_sub(MINUTE / 10));
        }
        nodes.advance_to(at);
        if nodes.take(node, limit, who, 1).await.allowed {
            admitted.push(at);
        }
    }
    assert_eq!(nodes.degraded(), 0, "redis answered all the time");
    Seen {
        worst: worst(&admitted, limit.window_ms) as f64 / limit.limit as f64,
        part: admitted.len() as f64 / exact(limit, arrivals) as f64,
        requests: arrivals.len() as u64,
        questions: nodes.questions(),
    }
}

/// The most in any stretch of the window's length, both ends included.
fn worst(admitted: &[u64], window_ms: u64) -> usize {
    let mut from = 0;
    let in_window = admitted.iter().enumerate().map(|(to, at)| {
        while at - admitted[from] > window_ms {
            from += 1;
        }
        to + 1 - from
    });
    in_window.max().unwrap_or(0)
}

fn exact(limit: &Limit, arrivals: &[Arrival]) -> u64 {
    let (mut log, mut admitted) = (VecDeque::new(), 0);
    for &(at, _) in arrivals {
        while log.front().is_some_and(|first| at - first > limit.window_ms) {
            log.pop_front();
        }
        if (log.len() as u64) < limit.limit {
            log.push_back(at);
            admitted += 1;
        }
    }
    admitted
}

fn poisson(limit: &Limit, nodes: u32, load: f64, windows: u64) -> Vec<Arrival> {
    let entropy = Entropy::seeded(limit.limit + u64::from(nodes));
    let mean_ms = limit.window_ms as f64 / limit.limit as f64 / load;
    let (mut at, mut arrivals) = (0.0, Vec::new());
    loop {
        at -= mean_ms * ((entropy.below(1 << 30) as f64 + 1.0) / f64::from(1 << 30)).ln();
        if at >= (windows * limit.window_ms) as f64 {
            return arrivals;
        }
        arrivals.push((at as u64, entropy.below(nodes.into()) as usize));
    }
}

/// Quiet, then up to half of the limit within a few milliseconds, on one node or on all.
fn bursty(limit: &Limit, nodes: u32, windows: u64) -> Vec<Arrival> {
    let entropy = Entropy::seeded(7 + u64::from(nodes));
    let (mut at, mut arrivals) = (0, Vec::new());
    while at < windows * limit.window_ms {
        at += entropy.below(limit.window_ms / 2);
        let (one, all) = (entropy.below(nodes.into()), entropy.below(2) == 0);
        for _ in 0..entropy.below(limit.limit / 2) {
            at += entropy.below(4);
            let node = if all { entropy.below(nodes.into()) } else { one };
            arrivals.push((at, node as usize));
        }
    }
    arrivals
}

/// A client that knows the window: everything just before where a fixed window would end and just
/// after, on other nodes each time; then little by little, so that every node holds leases, and
/// the rest at once when they are about to end; then without any rest.
fn adversarial(limit: &Limit, nodes: u32, windows: u64) -> Vec<Arrival> {
    let (count, nodes) = (limit.limit, u64::from(nodes));
    let lease_ms = limit.window_ms / 400;
    let mut arrivals = Vec::new();
    for window in 0..windows {
        let start = window * limit.window_ms;
        match window % 3 {
            0 => {
                let edge = start + limit.window_ms - 1;
                arrivals.extend((0..count).map(|n| (edge, (n % nodes) as usize)));
            }
            1 => {
                arrivals.extend((0..count).map(|n| (start + 2, ((n + 1) % nodes) as usize)));
                let step = |n: u64| start + MINUTE / 2 + n * lease_ms * 19 / 20 / (count / 10);
                arrivals.extend((0..count / 10).map(|n| (step(n), (n % nodes) as usize)));
                let end = start + limit.window_ms - 1;
                arrivals.extend((0..count).map(|n| (end - (n % 3), (n / 7 % nodes) as usize)));
            }
            _ => {
                let step = (limit.window_ms / (3 * count)).max(1);
                let at = |n: u64| start + n * step;
                arrivals.extend((0..3 * count).map(|n| (at(n), (n / 5 % nodes) as usize)));
            }
        }
    }
    arrivals.sort_by_key(|arrival| arrival.0);
    arrivals
}

async fn judge(limit: &Limit, most: f64, least: f64, windows: u64) {
    let Some(url) = redis_url() else { return };
    for nodes in [1, 2, 4] {
        let traffic = [
            ("poisson 1x", poisson(limit, nodes, 1.0, windows)),
            ("poisson 3x", poisson(limit, nodes, 3.0, windows / 2)),
            ("bursty", bursty(limit, nodes, windows)),
            ("adversarial", adversarial(limit, nodes, windows)),
        ];
        for (kind, arrivals) in traffic {
            let seen = send(&url, nodes, limit, &arrivals).await;
            let Seen { worst, part, requests, questions } = seen;
            let name = format!("{:?} {} on {nodes}, {kind}", limit.mode, limit.limit);
            println!(
                "{name}: worst {worst:.4}, part {part:.4}, questions {:.3} per request",
                questions as f64 / requests as f64,
            );
            assert!(worst <= most, "{name}: {worst} of the limit in a window");
            assert!(part >= least, "{name}: only {part} of what was due");
        }
    }
}

#[tokio::test]
async fn strict_is_never_over_and_hardly_under() {
    judge(&limit("strict", 100, Mode::Strict), 1.0, 0.99, 30).await;
}

#[tokio::test]
async fn leased_is_at_most_a_hundredth_over_and_under() {
    judge(&limit("leased", 100, Mode::Leased), 1.01, 0.99, 30).await;
}

/// Where leases are large enough to be used.
#[tokio::test]
async fn large_leases_are_at_most_a_hundredth_over_and_under() {
    judge(&limit("large", 2_000, Mode::Leased), 1.01, 0.99, 4).await;
}

/// A busy subject asks Redis for a small part of its requests.
#[tokio::test]
async fn a_lease_saves_questions() {
    let Some(url) = redis_url() else { return };
    let limit = limit("busy", 60_000, Mode::Leased);
    let seen = send(&url, 1, &limit, &poisson(&limit, 1, 0.5, 1)).await;
    let part = seen.questions as f64 / seen.requests as f64;
    println!("{} requests, {part:.4} questions per request", seen.requests);
    assert!(part < 0.05, "{part}");
}
