use model::key::{Key, KeySecret};
use testkit::test_store::by;
use testkit::{TestStore, on_both};

use crate::key_world::{app_and_keyspace, is_living, key, new_secret, rotation, tagged};

const DAY_MS: u64 = 86_400_000;

async fn living(db: &TestStore, key: &Key) -> Vec<KeySecret> {
    let secrets = db.secrets_of(key.id).await.unwrap().into_iter().map(|secret| secret.value);
    secrets.filter(|secret| is_living(secret, db.clock.now())).collect()
}

on_both! {
    async fn a_rotation_ends_the_third_secret(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, first) = key(&db, keyspace, Some(app)).await;
        let rotate = async || {
            let rotation = rotation(&db, &key, DAY_MS).await;
            assert!(db.add_secret(&rotation, &by()).await.unwrap());
            rotation.new.value
        };
        let second = rotate().await;
        let now = db.clock.now();
        let alive = living(&db, &key).await;
        assert_eq!(alive.len(), 2);
        let grace = |secret: &KeySecret, alive: &[KeySecret]| {
            alive.iter().find(|found| found.id == secret.id).map(|found| found.ends_at)
        };
        assert_eq!(grace(&first, &alive), Some(Some(now.plus_ms(DAY_MS))));
        assert_eq!(grace(&second, &alive), Some(None));
        db.advance_ms(1);
        let third = rotate().await;
        let alive = living(&db, &key).await;
        assert_eq!(alive.len(), 2, "two at the most");
        assert_eq!(grace(&first, &alive), None, "it ended at once");
        assert_eq!(grace(&second, &alive), Some(Some(now.plus_ms(DAY_MS + 1))));
        assert_eq!(grace(&third, &alive), Some(None));
        assert_eq!(db.secrets_of(key.id).await.unwrap().len(), 3, "what ended is known");
        assert_eq!(db.key_in_app(Some(app), key.id.as_str()).await.unwrap().unwrap().key.value.version, 3);
    }

    async fn of_two_rotations_one_wins(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, _) = key(&db, keyspace, Some(app)).await;
        let (one, two) = (rotation(&db, &key, 0).await, rotation(&db, &key, DAY_MS).await);
        let actor = by();
        let (done, also) = tokio::join!(db.add_secret(&one, &actor), db.add_secret(&two, &actor));
        assert_ne!(done.unwrap(), also.unwrap());
        assert_eq!(db.secrets_of(key.id).await.unwrap().len(), 2);
    }

    async fn an_old_rotation_leaves_no_secret_behind(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, _) = key(&db, keyspace, Some(app)).await;
        for _ in 0..2 {
            assert!(db.add_secret(&rotation(&db, &key, DAY_MS).await, &by()).await.unwrap());
        }
        let mut forgetful = rotation(&db, &key, DAY_MS).await;
        assert_eq!(forgetful.ended.len(), 2);
        let now = db.clock.now();
        forgetful.ended.retain(|secret| secret.value.ends_at > Some(now));
        assert_eq!(forgetful.ended.len(), 1);
        assert!(db.add_secret(&forgetful, &by()).await.unwrap());
        assert_eq!(living(&db, &key).await.len(), 2, "one that it did not name is not kept");
        for _ in 0..store::MAX_ENDED_SECRETS + 3 {
            db.advance_ms(1);
            assert!(db.add_secret(&rotation(&db, &key, 0).await, &by()).await.unwrap());
        }
        let kept = db.secrets_of(key.id).await.unwrap().len();
        assert_eq!(kept, store::MAX_ENDED_SECRETS + 1);
    }

    async fn an_end_is_only_brought_forward(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, secret) = key(&db, keyspace, Some(app)).await;
        let now = db.clock.now();
        let end = async |ends_at| {
            let ended = tagged(&db, KeySecret { ends_at, ..secret.clone() });
            let done = db.end_secret(&ended, &by()).await.unwrap();
            let stored = db.secrets_of(key.id).await.unwrap().remove(0);
            assert_eq!(done, stored.tag == ended.tag, "the tag goes with the end");
            (done, stored.value.ends_at)
        };
        assert_eq!(end(None).await, (false, None));
        let later = Some(now.plus_ms(9));
        assert_eq!(end(later).await, (true, later));
        assert_eq!(end(Some(now.plus_ms(10))).await, (false, later));
        assert_eq!(end(Some(now)).await, (true, Some(now)));
        let unknown = new_secret(&db, key.id);
        let unknown = tagged(&db, KeySecret { ends_at: Some(now), ..unknown });
        assert!(!db.end_secret(&unknown, &by()).await.unwrap());
    }

    async fn a_secret_is_hashed_anew_once(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, secret) = key(&db, keyspace, Some(app)).await;
        let lookup = Some(crate::key_world::bytes(&db));
        let anew = KeySecret {
            lookup,
            hash: "$argon2id$new".to_owned(),
            pepper_version: 5,
            ..secret.clone()
        };
        let anew = tagged(&db, anew);
        assert!(db.rehash_secret(&secret.hash, &anew).await.unwrap());
        assert!(!db.rehash_secret(&secret.hash, &anew).await.unwrap());
        let stored = db.secrets_of(key.id).await.unwrap().remove(0);
        assert_eq!((&stored.value, stored.tag), (&anew.value, anew.tag));
        // Whoever worked with the old hash made the tag of a row that is no more.
        let ends_at = Some(db.clock.now());
        let late = tagged(&db, KeySecret { ends_at, ..secret });
        assert!(!db.end_secret(&late, &by()).await.unwrap());
        let ended = tagged(&db, KeySecret { ends_at, ..anew.value.clone() });
        assert!(db.end_secret(&ended, &by()).await.unwrap());
        assert!(!db.rehash_secret(&anew.value.hash, &anew).await.unwrap(), "it has an end now");
    }
}
