//! Real time: the clock of Redis itself, requests side by side, the work in the background.

use std::sync::Arc;

use keys::limiter::{Limiter, LimiterOptions, SubjectKey, Take};
use model::Clock;
use model::key::limit::{Limit, Mode};
use tokio::task::JoinSet;

use crate::world::{MINUTE, OwnRedis, PATIENCE, limit, redis_url, somebody};

fn nodes(url: &str, count: usize) -> Vec<Limiter> {
    let options = LimiterOptions {
        redis_url: Some(url.into()),
        redis_timeout: PATIENCE,
        ..LimiterOptions::new(Clock::system())
    };
    options.nodes.store(count as u32, std::sync::atomic::Ordering::Relaxed);
    (0..count).map(|_| Limiter::new(options.clone()).expect("an address")).collect()
}

async fn one(node: Limiter, limit: Arc<Limit>, subject: SubjectKey) -> bool {
    node.take(&[Take { limit: &limit, subject, cost: 1 }], true).await.allowed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_side_by_side_are_never_too_many() {
    let Some(url) = redis_url() else { return };
    for mode in [Mode::Strict, Mode::Leased] {
        let (nodes, who) = (nodes(&url, 4), somebody());
        let limit = Arc::new(Limit { window_ms: 60 * MINUTE, ..limit("a", 150, mode) });
        let mut requests = JoinSet::new();
        for n in 0..600 {
            requests.spawn(one(nodes[n % 4].clone(), limit.clone(), who));
        }
        let mut allowed = requests.join_all().await.into_iter().filter(|allowed| *allowed).count();
        assert!(allowed <= 150, "{mode:?}: {allowed}");
        // What is missing is in leases that came too late for those who were refused.
        for node in nodes {
            while one(node.clone(), limit.clone(), who).await {
                allowed += 1;
            }
        }
        assert_eq!(allowed, 150, "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_side_by_side_in_one_process() {
    let node = Limiter::new(LimiterOptions::new(Clock::system())).expect("no address");
    let limit = Arc::new(Limit { window_ms: 10 * MINUTE, ..limit("a", 150, Mode::Strict) });
    let (mut requests, who) = (JoinSet::new(), somebody());
    for _ in 0..600 {
        requests.spawn(one(node.clone(), limit.clone(), who));
    }
    let allowed = requests.join_all().await.into_iter().filter(|allowed| *allowed).count();
    assert_eq!(allowed, 150);
}

/// The time that counts is that of Redis: a short window passes without any clock of ours.
#[tokio::test]
async fn a_window_passes_by_the_clock_of_redis() {
    let Some(url) = redis_url() else { return };
    let (nodes, who) = (nodes(&url, 2), somebody());
    let limit = Arc::new(Limit { window_ms: 60, ..limit("a", 1, Mode::Strict) });
    assert!(one(nodes[0].clone(), limit.clone(), who).await);
    let until_it_fits = async { while !one(nodes[1].clone(), limit.clone(), who).await {} };
    tokio::time::timeout(PATIENCE, until_it_fits).await.expect("the window passes");
}

/// Nobody asks a dead Redis but the background, and that finds it when it is back.
#[tokio::test]
async fn the_background_finds_redis_again() {
    if redis_url().is_none() {
        return;
    }
    let mut redis = OwnRedis::start().await;
    let (nodes, who) = (nodes(&redis.url(), 1), somebody());
    let limit = Arc::new(limit("a", 10, Mode::Strict));
    let mut up = nodes[0].watch_redis();
    assert!(one(nodes[0].clone(), limit.clone(), who).await);
    redis.kill().await;
    let mut allowed = 1;
    for _ in 0..30 {
        allowed += u32::from(one(nodes[0].clone(), limit.clone(), who).await);
    }
    assert_eq!(allowed, 10, "alone, the node has the whole limit, once");
    up.wait_for(|up| !up).await.expect("the limiter lives");
    redis.restart().await;
    let back = tokio::time::timeout(PATIENCE, up.wait_for(|up| *up)).await;
    back.expect("in time").expect("the limiter lives");
    assert!(!one(nodes[0].clone(), limit.clone(), who).await, "it was told what it missed");
}
