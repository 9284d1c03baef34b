//! Several nodes over one database.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keys::{BulkChange, KeySelection, Keys, Minted, VerifyRequest};
use model::key::RevocationReason;
use model::key::decide::Code;
use testkit::on_both;

use crate::world::{World, at, by, start, stranger, until};

/// What the house promises, whatever happens to notifications.
const PROMISED: Duration = Duration::from_secs(1);
const KEYS: usize = 20;

async fn code(node: &Keys, token: &str) -> Code {
    node.verify(VerifyRequest::new(token)).await.code
}

async fn keys(world: &World, n: usize) -> Vec<Minted> {
    let mut keys = Vec::new();
    for _ in 0..n {
        keys.push(world.key_with(|new| new.tags = vec!["batch".to_owned()]).await);
    }
    keys
}

on_both! {
    async fn a_revocation_is_everywhere_within_a_second_without_any_bell(world: World) {
        let made = keys(&world, KEYS).await;
        let node = world.another_node(|options| options.hears_bell = false).await;
        for one in &made {
            assert_eq!(code(&node, &one.token).await, Code::Valid);
        }
        for one in &made {
            world.revoke(&one.key).await;
            assert_eq!(world.code(&one.token).await, Code::Revoked, "here it holds at once");
            let elsewhere = async {
                while code(&node, &one.token).await == Code::Valid {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PROMISED, elsewhere).await.expect("within a second");
        }
        node.close().await;
    }

    async fn whoever_waits_is_told_when_all_nodes_know(world: World) {
        let made = world.key().await;
        let node = world.another_node(|_| ()).await;
        assert_eq!(code(&node, &made.token).await, Code::Valid);
        let reason = RevocationReason::PrivilegeWithdrawn;
        let revoked = world
            .revoke_key(at(&made.key), reason, Some("left".to_owned()), Some(5_000), &by())
            .await
            .unwrap();
        let confirmation = revoked.confirmation.unwrap();
        assert_eq!((confirmation.nodes, confirmation.confirmed), (2, 2));
        assert!(confirmation.is_complete());
        let verdict = node.verify(VerifyRequest::new(&made.token)).await;
        assert_eq!((verdict.code, verdict.cached), (Code::Revoked, true));
        // A node that follows no more is missed.
        node.close().await;
        let other = world.key().await;
        let revoked = world
            .revoke_key(at(&other.key), reason, None, Some(50), &by())
            .await
            .unwrap();
        assert!(!revoked.confirmation.unwrap().is_complete());
    }

    async fn many_are_revoked_at_once_and_by_their_tag_alone(world: World) {
        let made = keys(&world, KEYS).await;
        let other = world.key().await;
        let node = world.another_node(|_| ()).await;
        let selection = || KeySelection {
            app: Some(world.app),
            keyspace: None,
            owner: None,
            tag: Some("batch".to_owned()),
        };
        let by = by();
        let change = |change| world.change_keys(selection(), change, &by);
        assert_eq!(change(BulkChange::Disable).await.unwrap(), KEYS);
        assert_eq!(change(BulkChange::Disable).await.unwrap(), 0, "they are so already");
        node.catch_up().await.unwrap();
        for one in &made {
            assert_eq!(world.code(&one.token).await, Code::Disabled);
            assert_eq!(code(&node, &one.token).await, Code::Disabled);
        }
        assert_eq!(code(&node, &other.token).await, Code::Valid);
        let everything = KeySelection { tag: None, ..selection() };
        assert!(world.change_keys(everything, BulkChange::Disable, &by).await.is_err());
        node.close().await;
    }

    async fn no_reading_brings_a_revoked_key_back(world: World) {
        let made = keys(&world, 4 * KEYS).await;
        // Cold: what it warms up, what is asked for and what is revoked meet all the time.
        let node = start(world.store(), |_| ()).await;
        let revoked: Arc<Vec<AtomicBool>> = Arc::new(made.iter().map(|_| AtomicBool::new(false)).collect());
        let done = Arc::new(AtomicBool::new(false));
        let made = Arc::new(made);
        let readers: Vec<_> = (0..4).map(|_| {
            let (node, made, revoked, done) =
                (node.clone(), made.clone(), revoked.clone(), done.clone());
            tokio::spawn(async move {
                let mut last_round = false;
                while !last_round {
                    last_round = done.load(Ordering::SeqCst);
                    for (one, revoked) in made.iter().zip(revoked.iter()) {
                        let was_revoked = revoked.load(Ordering::SeqCst);
                        let fresh = one.key.id.as_str().ends_with(|c: char| c.is_ascii_digit());
                        let request = VerifyRequest { fresh, ..VerifyRequest::new(&one.token) };
                        let code = node.verify(request).await.code;
                        assert!(!was_revoked || code == Code::Revoked, "{code} after revocation");
                        tokio::task::yield_now().await;
                    }
                }
            })
        }).collect();
        for (one, revoked) in made.iter().zip(revoked.iter()) {
            let reason = RevocationReason::Unspecified;
            node.revoke_key(at(&one.key), reason, None, None, &by()).await.unwrap();
            revoked.store(true, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
        node.close().await;
    }

    async fn a_key_minted_elsewhere_verifies_at_once(world: World) {
        let node = world.another_node(|options| options.hears_bell = false).await;
        let mut codes = HashSet::new();
        for _ in 0..5 {
            codes.insert(code(&node, &world.key().await.token).await);
        }
        assert_eq!(codes, HashSet::from([Code::Valid]));
        node.close().await;
    }

    async fn what_was_unknown_is_known_once_it_is_made(world: World) {
        let node = world.another_node(|_| ()).await;
        let chosen = "a token that somebody chose";
        // The keyspace has tokens in any format from here on.
        world.create_key_with_token(world.new_key(), "another chosen token", &by()).await.unwrap();
        node.catch_up().await.unwrap();
        assert_eq!(code(&node, chosen).await, Code::Malformed);
        assert_eq!(code(&node, &stranger(&world.db)).await, Code::NotFound);
        world.create_key_with_token(world.new_key(), chosen, &by()).await.unwrap();
        assert_eq!(world.code(chosen).await, Code::Valid);
        until(async || code(&node, chosen).await == Code::Valid).await;
        let again = world.create_key_with_token(world.new_key(), chosen, &by()).await;
        assert!(matches!(again, Err(keys::KeysError::Taken("token"))));
        node.close().await;
    }
}
