//! Somebody can write to the database, and no more.

use std::time::Duration;

use keys::{Keys, KeysError, VerifyRequest};
use model::key::decide::Code;
use model::key::pepper::Peppers;
use store::AuditQuery;
use testkit::on_both;

use crate::world::{World, at, by, options, start, until};

/// How often the audit log says so, once it does.
async fn tamperings(world: &World) -> usize {
    let query = || AuditQuery { action: Some("key.tampered".to_owned()), ..AuditQuery::default() };
    until(async || !world.db.audit_log(&query()).await.unwrap().data.is_empty()).await;
    world.db.audit_log(&query()).await.unwrap().data.len()
}

/// A node that reads every row for the first time.
async fn new_node(world: &World) -> Keys {
    start(world.store(), |_| ()).await
}

on_both! {
    async fn raised_scopes_are_refused_and_said_once(world: World) {
        let made = world.key().await;
        let sql = "update key set body = replace(body, 'read:contacts', 'write:contacts')";
        assert_eq!(world.db.database.execute(sql).await, 1);
        assert_eq!(world.code(&made.token).await, Code::Valid, "what is held is the good row");
        assert_eq!(world.fresh(&made.token).await.code, Code::NotFound);
        for _ in 0..5 {
            assert_eq!(world.code(&made.token).await, Code::NotFound);
            assert_eq!(world.fresh(&made.token).await.code, Code::NotFound);
        }
        assert_eq!(tamperings(&world).await, 1);
        let change = world.update_key(at(&made.key), |key| key.name.push('!'), &by()).await;
        assert!(matches!(change, Err(KeysError::Tampered("key"))), "it gets no new tag");
        world.db.advance_ms(60 * 60 * 1_000);
        assert_eq!(world.fresh(&made.token).await.code, Code::NotFound);
        until(async || tamperings(&world).await == 2).await;
    }

    async fn a_secret_does_not_serve_another_key(world: World) {
        let mine = world.key().await;
        let rich = world.key_with(|new| new.scopes = vec!["*".to_owned()]).await;
        let sql = format!(
            "update key_secret set key_id = '{}' where key_id = '{}'",
            rich.key.id, mine.key.id,
        );
        assert_eq!(world.db.database.execute(&sql).await, 1);
        let node = new_node(&world).await;
        assert_eq!(node.verify(VerifyRequest::new(&mine.token)).await.code, Code::NotFound);
        assert!(node.verify(VerifyRequest::new(&rich.token)).await.is_valid());
        assert_eq!(tamperings(&world).await, 1);
    }

    async fn an_inserted_row_is_no_key(world: World) {
        let mine = world.key().await;
        let rich = world.key_with(|new| new.scopes = vec!["*".to_owned()]).await;
        // The body and tag of the rich key under the id of mine.
        let sql = format!(
            "update key set body = (select body from key where id = '{0}'), \
             tag = (select tag from key where id = '{0}') where id = '{1}'",
            rich.key.id, mine.key.id,
        );
        assert_eq!(world.db.database.execute(&sql).await, 1);
        let node = new_node(&world).await;
        assert_eq!(node.verify(VerifyRequest::new(&mine.token)).await.code, Code::NotFound);
        assert_eq!(tamperings(&world).await, 1);
    }

    async fn an_ended_or_revoked_key_does_not_come_back(world: World) {
        let made = world.key().await;
        world.rotate_key(at(&made.key), 0, &by()).await.unwrap();
        assert_eq!(world.code(&made.token).await, Code::RotatedOut);
        world.db.database.execute("update key_secret set ends_at = null").await;
        let node = new_node(&world).await;
        assert_eq!(node.verify(VerifyRequest::new(&made.token)).await.code, Code::NotFound);
    }

    async fn a_row_that_hides_its_lookup_does_not_outlive_its_revocation(world: World) {
        let hidden = "update key_secret set lookup = null where key_id = ";
        // Still 32 bytes, and of no token.
        let moved = "update key_secret set lookup = tag where key_id = ";
        let removed = "delete from key_secret where key_id = ";
        for sql in [hidden, moved, removed] {
            let (made, other) = (world.key().await, world.key().await);
            let node = world.another_node(|options| options.hears_bell = false).await;
            let code = async |token: &str| node.verify(VerifyRequest::new(token)).await.code;
            assert_eq!(code(&made.token).await, Code::Valid);
            let sql = format!("{sql}'{}'", made.key.id);
            assert_eq!(world.db.database.execute(&sql).await, 1);
            assert_eq!(world.code(&made.token).await, Code::Valid, "what is held is the good row");
            world.revoke(&made.key).await;
            assert_eq!(world.code(&made.token).await, Code::NotFound, "{sql}");
            let elsewhere = async {
                while code(&made.token).await == Code::Valid {
                    tokio::task::yield_now().await;
                }
            };
            let within = tokio::time::timeout(Duration::from_secs(1), elsewhere).await;
            within.expect("within a second");
            assert_eq!(code(&made.token).await, Code::NotFound);
            assert_eq!(world.code(&other.token).await, Code::Valid);
            node.close().await;
        }
    }

    async fn what_the_database_has_no_more_is_held_no_more(world: World) {
        let made = world.key().await;
        let sql = format!("delete from key_secret where key_id = '{}'", made.key.id);
        assert_eq!(world.db.database.execute(&sql).await, 1);
        assert_eq!(world.code(&made.token).await, Code::Valid);
        assert_eq!(world.fresh(&made.token).await.code, Code::NotFound);
        assert_eq!(world.code(&made.token).await, Code::NotFound);
    }

    async fn a_forged_keyspace_is_refused_with_all_its_keys(world: World) {
        let made = world.key().await;
        world.db.database.execute("update keyspace set body = replace(body, 'read:*', '*')").await;
        let node = new_node(&world).await;
        assert_eq!(node.verify(VerifyRequest::new(&made.token)).await.code, Code::NotFound);
        assert_eq!(tamperings(&world).await, 1);
        let refused = world.create_key(world.new_key(), &by()).await;
        assert!(matches!(refused, Err(KeysError::Tampered("keyspace"))));
    }

    async fn rubbish_in_one_row_leaves_the_others_alone(world: World) {
        let (broken, good) = (world.key().await, world.key().await);
        let sql = format!("update key set body = '{{' where id = '{}'", broken.key.id);
        world.db.database.execute(&sql).await;
        world.set_enabled(at(&good.key), false, &by()).await.unwrap();
        assert_eq!(world.fresh(&broken.token).await.code, Code::Unavailable);
        let node = new_node(&world).await;
        assert_eq!(node.verify(VerifyRequest::new(&good.token)).await.code, Code::Disabled);
        node.catch_up().await.unwrap();
    }

    async fn a_dump_alone_verifies_nothing(world: World) {
        let made = world.key().await;
        let others = || std::sync::Arc::new(Peppers::new((1, [8; 32]), Vec::new()).unwrap());
        let mut thief = options(world.store());
        thief.peppers = others();
        let refused = Keys::start(thief).await;
        assert!(matches!(refused, Err(KeysError::OtherPeppers)));
        world.db.database.execute("delete from instance where name like 'pepper_check%'").await;
        let thief = start(world.store(), |options| options.peppers = others()).await;
        assert_eq!(thief.verify(VerifyRequest::new(&made.token)).await.code, Code::NotFound);
    }
}
