//! Several limits, several nodes, one count.

use keys::limiter::{Outcome, Take};
use model::key::limit::{Limit, Mode};

use crate::world::{MINUTE, Nodes, PATIENCE, limit, redis_url, somebody};

fn remaining(outcome: &Outcome) -> Vec<u64> {
    outcome.limits.iter().map(|limit| limit.remaining).collect()
}

/// A request that one of its limits refuses is counted in none, wherever they are counted.
#[tokio::test]
async fn all_limits_or_none() {
    let Some(url) = redis_url() else { return };
    let nodes = Nodes::new(&url, 1, PATIENCE);
    let node = &nodes.nodes[0];
    let (key, owner) = (somebody(), somebody());
    for mode in [Mode::Strict, Mode::Leased, Mode::Local] {
        for small_mode in [Mode::Strict, Mode::Local] {
            let small = limit(&format!("small {small_mode:?} {mode:?}"), 3, small_mode);
            let wide = limit(&format!("wide {small_mode:?} {mode:?}"), 500, mode);
            let takes = [
                Take { limit: &wide, subject: owner, cost: 2 },
                Take { limit: &small, subject: key, cost: 2 },
            ];
            let first = node.take(&takes, true).await;
            assert!(first.allowed);
            assert_eq!(remaining(&first), [498, 1], "{mode:?} {small_mode:?}");
            for _ in 0..20 {
                let refused = node.take(&takes, true).await;
                assert!(!refused.allowed);
                assert!(refused.limits[1].exceeded && !refused.limits[0].exceeded);
                assert_eq!(remaining(&refused), [498, 1], "{mode:?} {small_mode:?}");
                assert_eq!(refused.retry_after_ms(), Some(MINUTE + 1));
            }
            let rest = Take { limit: &small, subject: key, cost: 1 };
            assert!(node.take(&[rest], true).await.allowed, "a smaller cost still fits");
        }
    }
}

#[tokio::test]
async fn a_dry_run_counts_nothing() {
    let Some(url) = redis_url() else { return };
    let nodes = Nodes::new(&url, 2, PATIENCE);
    for mode in [Mode::Strict, Mode::Leased, Mode::Local] {
        let (limit, who) = (limit("a", 120, mode), somebody());
        for _ in 0..300 {
            assert_eq!(remaining(&nodes.peek(0, &limit, who).await), [120]);
        }
        assert_eq!(nodes.burst(0, &limit, who, 130).await, 120);
        assert!(!nodes.peek(0, &limit, who).await.allowed);
    }
}

#[tokio::test]
async fn nodes_count_together_unless_the_limit_is_local() {
    let Some(url) = redis_url() else { return };
    let nodes = Nodes::new(&url, 2, PATIENCE);
    let (strict, who) = (limit("strict", 10, Mode::Strict), somebody());
    assert_eq!(nodes.burst(0, &strict, who, 6).await, 6);
    assert_eq!(nodes.burst(1, &strict, who, 6).await, 4);
    let local = limit("local", 10, Mode::Local);
    assert_eq!(nodes.burst(0, &local, who, 20).await, 10);
    assert_eq!(nodes.burst(1, &local, who, 20).await, 10);
}

#[tokio::test]
async fn other_figures_keep_the_count() {
    let Some(url) = redis_url() else { return };
    for mode in [Mode::Strict, Mode::Local] {
        let nodes = Nodes::new(&url, 1, PATIENCE);
        let (before, who) = (limit("a", 10, mode), somebody());
        assert_eq!(nodes.burst(0, &before, who, 20).await, 10);
        let raised = Limit { limit: 15, ..before.clone() };
        assert_eq!(nodes.burst(0, &raised, who, 20).await, 5, "{mode:?}");
        let longer = Limit { window_ms: 10 * MINUTE, ..raised.clone() };
        nodes.advance_to(MINUTE);
        assert_eq!(nodes.burst(0, &longer, who, 1).await, 0, "{mode:?}");
        nodes.advance_to(5 * MINUTE);
        assert_eq!(nodes.burst(0, &longer, who, 1).await, 0, "{mode:?}");
        let shorter = Limit { window_ms: MINUTE, ..raised };
        assert_eq!(nodes.burst(0, &shorter, who, 20).await, 15, "{mode:?}");
    }
}

/// A lease that its node does not use is free for others when it ends.
#[tokio::test]
async fn what_is_left_of_a_lease_comes_back() {
    let Some(url) = redis_url() else { return };
    let nodes = Nodes::new(&url, 2, PATIENCE);
    let (limit, who) = (limit("a", 1_000, Mode::Leased), somebody());
    assert_eq!(nodes.burst(0, &limit, who, 40).await, 40);
    let others = nodes.peek(1, &limit, who).await.limits[0].remaining;
    assert!(others < 960, "node 0 holds a lease: {others}");
    nodes.advance_to(MINUTE / 400 + 1);
    nodes.tick().await;
    assert_eq!(nodes.peek(1, &limit, who).await.limits[0].remaining, 960);
    assert_eq!(nodes.burst(1, &limit, who, 2_000).await, 960);
}

/// A caller that goes away while Redis is asked leaves nothing counted here.
#[tokio::test]
async fn a_request_that_is_dropped_gives_back_what_it_held() {
    let Some(url) = redis_url() else { return };
    let nodes = Nodes::new(&url, 1, PATIENCE);
    let (here, there, who) = (limit("h", 5, Mode::Local), limit("t", 5, Mode::Strict), somebody());
    let takes = [here.clone(), there];
    let takes = takes.each_ref().map(|limit| Take { limit, subject: who, cost: 1 });
    for _ in 0..50 {
        let mut asked = Box::pin(nodes.nodes[0].take(&takes, true));
        assert!(futures_poll_once(&mut asked).await.is_none(), "it waits for redis");
        drop(asked);
    }
    assert_eq!(nodes.burst(0, &here, who, 9).await, 5);
}

async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let polled = std::pin::Pin::new(&mut *future).poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
