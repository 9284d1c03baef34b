//! What a node says when it can no longer confirm that nothing was revoked.

use keys::{Keys, VerifyRequest};
use model::key::WhenStale;
use model::key::decide::Code;
use testkit::on_both;

use crate::world::{World, at, by, start};

/// A node that follows no more, and knows nothing of what happens to the key.
async fn deaf_node(world: &World, token: &str, when_stale: WhenStale) -> Keys {
    world.update_keyspace("crm", |keyspace| keyspace.when_stale = when_stale, &by()).await.unwrap();
    let node = start(world.store(), |_| ()).await;
    assert!(node.verify(VerifyRequest::new(token)).await.is_valid());
    node.close().await;
    node
}

on_both! {
    async fn what_is_unconfirmed_is_checked(world: World) {
        let made = world.key().await;
        let node = deaf_node(&world, &made.token, WhenStale::Check).await;
        world.revoke(&made.key).await;
        world.db.advance_ms(1_000);
        let verdict = node.verify(VerifyRequest::new(&made.token)).await;
        assert!(verdict.cached && verdict.is_valid() && verdict.stale_ms == 1_000);
        world.db.advance_ms(1);
        let verdict = node.verify(VerifyRequest::new(&made.token)).await;
        assert_eq!((verdict.code, verdict.cached), (Code::Revoked, false));
    }

    async fn or_refused(world: World) {
        let made = world.key().await;
        let node = deaf_node(&world, &made.token, WhenStale::Deny).await;
        world.db.advance_ms(1_001);
        let verdict = node.verify(VerifyRequest::new(&made.token)).await;
        assert_eq!(verdict.code, Code::Unavailable);
        assert!(verdict.reason.contains("cannot confirm"), "{}", verdict.reason);
    }

    async fn or_served_for_a_while(world: World) {
        let made = world.key().await;
        let node = deaf_node(&world, &made.token, WhenStale::Serve).await;
        world.revoke(&made.key).await;
        world.db.advance_ms(5_000);
        assert!(node.verify(VerifyRequest::new(&made.token)).await.is_valid());
        world.db.advance_ms(1);
        assert_eq!(node.verify(VerifyRequest::new(&made.token)).await.code, Code::Revoked);
    }

    async fn a_node_that_was_away_for_long_begins_anew(world: World) {
        let made = world.key().await;
        let node = deaf_node(&world, &made.token, WhenStale::Check).await;
        world.set_enabled(at(&made.key), false, &by()).await.unwrap();
        let now = world.db.advance_ms(2 * 60 * 60 * 1_000);
        world.db.prune_key_changes(now).await.unwrap();
        node.catch_up().await.unwrap();
        let verdict = node.verify(VerifyRequest::new(&made.token)).await;
        assert_eq!((verdict.code, verdict.stale_ms), (Code::Disabled, 0));
    }
}
