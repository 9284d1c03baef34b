//! Making and changing: what is refused, and what no change can touch.

use keys::{HashCheck, KeysError, KeyspaceFields, VerifyRequest};
use model::key::decide::Code;
use model::key::limit::Limit;
use testkit::on_both;

use crate::world::{DAY_MS, World, at, by, fields, start};

fn field<T: std::fmt::Debug>(result: Result<T, KeysError>) -> &'static str {
    match result {
        Err(KeysError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

on_both! {
    async fn what_does_not_fit_is_refused_by_name(world: World) {
        let make = |change: fn(&mut KeyspaceFields)| {
            let mut fields = KeyspaceFields { uid: None, ..fields() };
            change(&mut fields);
            let keys = world.keys.clone();
            async move { keys.create_keyspace(fields, &by()).await }
        };
        assert_eq!(field(make(|fields| fields.prefix = "Crm".to_owned()).await), "prefix");
        assert_eq!(field(make(|fields| fields.environments.clear()).await), "environments");
        assert_eq!(field(make(|fields| fields.name.clear()).await), "name");
        let taken = make(|fields| fields.uid = Some("crm".to_owned())).await;
        assert!(matches!(taken, Err(KeysError::Taken("uid"))));

        let key = |change: fn(&mut keys::NewKey)| {
            let mut new = world.new_key();
            change(&mut new);
            let keys = world.keys.clone();
            async move { keys.create_key(new, &by()).await }
        };
        assert_eq!(field(key(|new| new.environment = Some("stage".to_owned())).await), "environment");
        assert_eq!(field(key(|new| new.roles = vec!["boss".to_owned()]).await), "roles");
        assert_eq!(field(key(|new| new.scopes = vec!["a b".to_owned()]).await), "scopes");
        assert_eq!(field(key(|new| new.tags = vec!["a\0".to_owned()]).await), "tags");
        let none = key(|new| new.keyspace = "other".to_owned()).await;
        assert!(matches!(none, Err(KeysError::NotFound("keyspace"))));
        assert!(matches!(
            world.delete_keyspace("other", &by()).await,
            Err(KeysError::NotFound("keyspace"))
        ));
        key(|_| ()).await.unwrap();
        assert!(matches!(world.delete_keyspace("crm", &by()).await, Err(KeysError::InUse)));
    }

    async fn a_change_leaves_what_it_may_not_touch(world: World) {
        let made = world.key().await;
        world.revoke(&made.key).await;
        let other = world.key().await;
        let changed = world.update_key(at(&made.key), |key| {
            key.id = other.key.id;
            key.environment = "test".to_owned();
            key.revoked = None;
            key.version = 0;
            key.name = "renamed".to_owned();
        }, &by()).await.unwrap();
        assert_eq!(changed.name, "renamed");
        assert_eq!((changed.id, changed.environment.as_str()), (made.key.id, "live"));
        assert!(changed.revoked.is_some());
        assert_eq!(world.code(&made.token).await, Code::Revoked);
        assert_eq!(world.code(&other.token).await, Code::Valid);
    }

    async fn no_key_outlives_its_keyspace_s_longest_life(world: World) {
        let latest = world.db.clock.now().plus_ms(DAY_MS);
        let change = |keyspace: &mut model::key::Keyspace| keyspace.max_lifetime_ms = Some(DAY_MS);
        world.update_keyspace("crm", change, &by()).await.unwrap();
        let long = Some(latest.plus_ms(DAY_MS));
        let made = world.key_with(|new| new.expires_at = long).await;
        assert_eq!(made.key.expires_at, Some(latest));
        let key = world.update_key(at(&made.key), |key| key.expires_at = long, &by()).await.unwrap();
        assert_eq!(key.expires_at, Some(latest));
    }

    async fn many_changes_at_once_are_all_kept(world: World) {
        let made = world.key().await;
        let tasks: Vec<_> = (0..8).map(|n| {
            let (keys, key) = (world.keys.clone(), made.key.clone());
            tokio::spawn(async move {
                keys.update_key(at(&key), |key| key.tags.push(n.to_string()), &by()).await.unwrap();
            })
        }).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let row = world.db.key_in_app(Some(world.app), made.key.id.as_str()).await.unwrap();
        let key = row.unwrap().key.value;
        assert_eq!((key.tags.len(), key.version), (8, 9));
    }

    async fn the_hash_is_compared_once_or_always_when_told_so(world: World) {
        let made = world.key().await;
        for (check, runs) in [(HashCheck::Never, 0), (HashCheck::FirstUse, 1), (HashCheck::Always, 4)] {
            let node = start(world.store(), |options| options.hash_check = check).await;
            for _ in 0..4 {
                assert!(node.verify(VerifyRequest::new(&made.token)).await.is_valid());
            }
            assert_eq!(node.stats().hash_runs, runs, "{check:?}");
            node.close().await;
        }
    }

    async fn two_limits_of_a_name_are_refused(world: World) {
        let limit: Limit = Limit {
            name: "requests".to_owned(),
            limit: 1,
            window_ms: 1_000,
            subject: Default::default(),
            mode: Default::default(),
            when_down: Default::default(),
            automatic: true,
        };
        let mut new = world.new_key();
        new.limits = vec![limit.clone(), limit];
        assert_eq!(field(world.create_key(new, &by()).await), "limits");
    }
}
