//! Redis dies in the middle, hangs, comes back with or without its memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use keys::limiter::RedisState;
use model::key::limit::{Limit, Mode, WhenDown};

use crate::world::{MINUTE, Nodes, OwnRedis, PATIENCE, limit, redis_url, somebody};

const NODES: u32 = 4;

async fn world() -> Option<(OwnRedis, Nodes)> {
    redis_url()?;
    let redis = OwnRedis::start().await;
    let nodes = Nodes::new(&redis.url(), NODES, PATIENCE);
    Some((redis, nodes))
}

fn with_policy(mode: Mode, when_down: WhenDown) -> Limit {
    Limit { when_down, ..limit(&format!("{mode:?} {when_down:?}"), 100, mode) }
}

#[tokio::test]
async fn each_limit_follows_its_policy_while_redis_is_dead() {
    let Some((mut redis, nodes)) = world().await else { return };
    for mode in [Mode::Strict, Mode::Leased] {
        for (policy, each) in
            [(WhenDown::LocalShare, 25), (WhenDown::Open, 60), (WhenDown::Closed, 0)]
        {
            let (limit, who) = (with_policy(mode, policy), somebody());
            assert!(nodes.take(0, &limit, somebody(), 1).await.allowed);
            redis.kill().await;
            for node in 0..NODES as usize {
                let before = nodes.degraded();
                assert_eq!(nodes.burst(node, &limit, who, 60).await, each, "{limit:?}");
                assert_eq!(nodes.degraded(), before + 60);
                let outcome = nodes.peek(node, &limit, who).await;
                assert!(outcome.is_degraded());
                assert_eq!(outcome.allowed, policy == WhenDown::Open);
                assert_eq!(nodes.nodes[node].health().redis, RedisState::Down);
            }
            redis.restart().await;
            nodes.until_up().await;
            assert!(!nodes.take(0, &limit, somebody(), 1).await.is_degraded());
        }
    }
}

/// What was admitted before, by a node that must go on alone, is part of its share.
#[tokio::test]
async fn an_outage_is_no_new_window() {
    let Some((mut redis, nodes)) = world().await else { return };
    let (limit, who) = (with_policy(Mode::Strict, WhenDown::LocalShare), somebody());
    for node in 0..NODES as usize {
        assert_eq!(nodes.burst(node, &limit, who, 20).await, 20);
    }
    redis.kill().await;
    for node in 0..NODES as usize {
        assert_eq!(nodes.burst(node, &limit, who, 60).await, 5);
    }
    // Back, and empty: every node knows what it admitted, and nothing is granted twice.
    redis.restart().await;
    nodes.until_up().await;
    for node in 0..NODES as usize {
        let _ = nodes.take(node, &limit, who, 1).await;
    }
    assert_eq!(nodes.burst(0, &limit, who, 100).await, 0);
    assert_eq!(nodes.peek(3, &limit, who).await.limits[0].remaining, 0);
    nodes.advance_to(MINUTE + 1);
    assert_eq!(nodes.burst(2, &limit, who, 200).await, 100);
}

/// A Redis that lost its memory between two requests, unnoticed by anybody, learns it again.
#[tokio::test]
async fn a_redis_without_memory_is_told() {
    let Some((mut redis, nodes)) = world().await else { return };
    let (limit, who) = (with_policy(Mode::Leased, WhenDown::LocalShare), somebody());
    assert_eq!(nodes.burst(0, &limit, who, 70).await, 70);
    redis.kill().await;
    redis.restart().await;
    nodes.until_up().await;
    let mut allowed = 0;
    for _ in 0..100 {
        allowed += u64::from(nodes.take(0, &limit, who, 1).await.allowed);
    }
    // The first of them may meet the dead connection, and is then counted by the node alone.
    assert_eq!(allowed, 30, "degraded: {}", nodes.degraded());
}

/// A Redis that kept its memory is told only what it does not know.
#[tokio::test]
async fn a_redis_that_hung_keeps_its_count_and_gets_the_rest() {
    let Some((redis, _)) = world().await else { return };
    let nodes = Nodes::new(&redis.url(), NODES, Duration::from_millis(500));
    let (limit, who) = (with_policy(Mode::Strict, WhenDown::LocalShare), somebody());
    for node in 0..NODES as usize {
        assert_eq!(nodes.burst(node, &limit, who, 10).await, 10);
    }
    redis.stop();
    // Those that wait for it may be counted twice, by it when it goes on: never admitted twice.
    let in_doubt = somebody();
    for node in 0..NODES as usize {
        nodes.burst(node, &limit, in_doubt, 5).await;
        assert_eq!(nodes.nodes[node].health().redis, RedisState::Down);
        assert_eq!(nodes.burst(node, &limit, who, 60).await, 15);
    }
    redis.go_on();
    nodes.until_up().await;
    let mut allowed = 0;
    for node in 0..NODES as usize {
        let outcome = nodes.take(node, &limit, who, 1).await;
        assert!(!outcome.is_degraded());
        allowed += u64::from(outcome.allowed);
    }
    // Each node tells its 15 with its own first request, so that those before are not refused.
    assert_eq!(allowed, 3);
    nodes.advance_to(MINUTE + 1);
    assert_eq!(nodes.burst(1, &limit, who, 200).await, 100);
}

/// The share follows the number of living nodes.
#[tokio::test]
async fn fewer_nodes_have_larger_shares() {
    let Some((mut redis, nodes)) = world().await else { return };
    let (limit, who) = (with_policy(Mode::Strict, WhenDown::LocalShare), somebody());
    redis.kill().await;
    assert_eq!(nodes.burst(0, &limit, who, 200).await, 25);
    nodes.living.store(2, Ordering::Relaxed);
    assert_eq!(nodes.burst(0, &limit, who, 200).await, 25);
    let rare = Limit { limit: 1, ..limit };
    assert_eq!(nodes.burst(0, &rare, somebody(), 9).await, 1, "never nothing at all");
}
