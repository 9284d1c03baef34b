//! What the schedule of keys remembers, and the tokens that wait.

use model::key::{Key, KeySecret, RotationPolicy};
use store::{LastUse, RotationNotice};
use testkit::test_store::by;
use testkit::{TestStore, on_both};

use crate::key_world::{app_and_keyspace, key, key_with, rotation, tagged};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const TOKEN: &str = "crm_live_a-token-that-waits";

async fn rotate_unasked(db: &TestStore, key: &Key) -> KeySecret {
    let rotation = rotation(db, key, DAY_MS).await;
    let ends_at = db.clock.now().plus_ms(DAY_MS);
    assert!(db.add_secret_unasked(&rotation, TOKEN, ends_at, &by()).await.unwrap());
    rotation.new.value
}

async fn use_once(db: &TestStore, secret: &KeySecret) {
    let at = db.clock.now();
    let last = LastUse { at, address: None, user_agent: None };
    db.touch_keys(&[(secret.id, last)]).await.unwrap();
}

on_both! {
    async fn the_mark_never_goes_back(db: TestStore) {
        let now = db.clock.now();
        assert_eq!(db.reminded_until().await.unwrap(), None);
        for (at, stands_at) in [(now, now), (now.plus_ms(2), now.plus_ms(2)), (now, now.plus_ms(2))] {
            db.set_reminded_until(at).await.unwrap();
            assert_eq!(db.reminded_until().await.unwrap(), Some(stands_at));
        }
    }

    async fn a_rotation_that_was_announced_keeps_its_moment(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let own = RotationPolicy { interval_ms: 10 * DAY_MS, grace_ms: 0, notice_ms: DAY_MS };
        let (key, secret) =
            key_with(&db, keyspace, Some(app), |key| key.rotation = Some(own)).await;
        let start = db.clock.now();
        let notice = |due: u64, rotate: u64| RotationNotice {
            key_id: key.id,
            secret_id: secret.id,
            due_at: start.plus_ms(due * DAY_MS),
            rotate_at: start.plus_ms(rotate * DAY_MS),
        };
        let due = async |days: u64| {
            let now = start.plus_ms(days * DAY_MS);
            let due = db.keys_rotation_due(now, None, 9).await.unwrap();
            due.into_iter().map(|due| due.notice).collect::<Vec<_>>()
        };
        assert_eq!(due(9).await, [None]);
        db.note_rotations(&[notice(10, 12)]).await.unwrap();
        db.note_rotations(&[notice(10, 15)]).await.unwrap();
        assert_eq!(due(11).await, []);
        assert_eq!(due(12).await, [Some(notice(10, 12))]);
        db.note_rotations(&[notice(11, 15)]).await.unwrap();
        assert_eq!(due(14).await, []);
        assert_eq!(due(15).await, [Some(notice(11, 15))]);
        db.advance_ms(1);
        rotate_unasked(&db, &key).await;
        assert_eq!(due(15).await, [None], "it was of another secret");
    }

    async fn a_token_waits_and_is_given_out_once(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, _) = key(&db, keyspace, Some(app)).await;
        let (other, _) = crate::key_world::key(&db, keyspace, Some(app)).await;
        assert_eq!(db.collect_key_token(&key, &by()).await.unwrap(), None);
        let secret = rotate_unasked(&db, &key).await;
        let waiting = db.waiting_key_tokens(None, 9).await.unwrap();
        assert_eq!(waiting.len(), 1);
        assert_eq!((waiting[0].key.value.id, waiting[0].secret_id), (key.id, secret.id));
        let end = Some(db.clock.now().plus_ms(DAY_MS));
        assert_eq!((Some(waiting[0].ends_at), waiting[0].old_ends_at), (end, end));
        assert!(db.waiting_key_tokens(Some(key.id), 9).await.unwrap().is_empty());
        assert_eq!(db.collect_key_token(&other, &by()).await.unwrap(), None);
        assert_eq!(db.collect_key_token(&key, &by()).await.unwrap().as_deref(), Some(TOKEN));
        assert_eq!(db.collect_key_token(&key, &by()).await.unwrap(), None);
    }

    async fn a_token_waits_no_longer_than_its_time(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, _) = key(&db, keyspace, Some(app)).await;
        rotate_unasked(&db, &key).await;
        db.advance_ms(DAY_MS - 1);
        assert_eq!(db.end_key_tokens().await.unwrap(), 0);
        db.advance_ms(1);
        assert!(db.waiting_key_tokens(None, 9).await.unwrap().is_empty());
        assert_eq!(db.collect_key_token(&key, &by()).await.unwrap(), None);
        assert_eq!(db.end_key_tokens().await.unwrap(), 1);
        // A later rotation takes the place of what waits.
        rotate_unasked(&db, &key).await;
        db.advance_ms(1);
        assert!(db.add_secret(&rotation(&db, &key, 0).await, &by()).await.unwrap());
        assert_eq!(db.collect_key_token(&key, &by()).await.unwrap(), None);
    }

    async fn a_refused_rotation_leaves_no_token(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, _) = key(&db, keyspace, Some(app)).await;
        let mut late = rotation(&db, &key, DAY_MS).await;
        late.key = tagged(&db, late.key.value);
        rotate_unasked(&db, &key).await;
        let ends_at = db.clock.now().plus_ms(DAY_MS);
        assert!(!db.add_secret_unasked(&late, "another", ends_at, &by()).await.unwrap());
        assert_eq!(db.collect_key_token(&key, &by()).await.unwrap().as_deref(), Some(TOKEN));
    }

    async fn secrets_that_are_used_in_their_grace_are_found(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, old) = key(&db, keyspace, Some(app)).await;
        let used = async || {
            let used = db.secrets_used_in_grace(None, 9).await.unwrap();
            used.into_iter().map(|used| (used.secret_id, used.last_used_at)).collect::<Vec<_>>()
        };
        db.advance_ms(1);
        use_once(&db, &old).await;
        assert_eq!(used().await, [], "it is the current one");
        db.advance_ms(1);
        let new = rotate_unasked(&db, &key).await;
        assert_eq!(used().await, [], "it was used before");
        db.advance_ms(1);
        use_once(&db, &new).await;
        assert_eq!(used().await, []);
        use_once(&db, &old).await;
        assert_eq!(used().await, [(old.id, db.clock.now())]);
        assert!(db.secrets_used_in_grace(Some(old.id), 9).await.unwrap().is_empty());
        db.advance_ms(DAY_MS);
        assert_eq!(used().await, [], "the grace is over");
    }
}
