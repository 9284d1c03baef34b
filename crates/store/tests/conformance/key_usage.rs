use model::Timestamp;
use model::key::decide::Code;
use model::key::{Key, KeySecret};
use store::{LATENCY_BUCKETS, LastUse, UsageRow};
use testkit::{TestStore, on_both};

use crate::key_world::{app_and_keyspace, key, rotation};
use crate::world::ODD;

const MINUTE_MS: u64 = 60_000;

fn row(key: &Key, minute: Timestamp, outcome: Code, n: u64) -> UsageRow {
    let mut latency = [0; LATENCY_BUCKETS];
    latency[0] = n;
    latency[LATENCY_BUCKETS - 1] = 2 * n;
    UsageRow { key_id: key.id, minute, outcome, count: 3 * n, cost: 5 * n, latency }
}

/// One verification and one touch.
pub async fn use_once(db: &TestStore, key: &Key, secret: &KeySecret) -> LastUse {
    let at = db.clock.now();
    db.add_key_usage(&[row(key, at, Code::Valid, 1)]).await.unwrap();
    let last = LastUse {
        at,
        address: Some("2001:db8::1".parse().unwrap()),
        user_agent: Some("client/1".to_owned()),
    };
    db.touch_keys(&[(secret.id, last.clone())]).await.unwrap();
    last
}

on_both! {
    async fn usage_adds_up(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (one, _) = key(&db, keyspace, Some(app)).await;
        let (two, _) = key(&db, keyspace, Some(app)).await;
        let first = db.clock.now();
        let next = first.plus_ms(MINUTE_MS);
        let batch = [
            row(&one, first, Code::Valid, 1),
            row(&one, next, Code::Valid, 10),
            row(&one, first, Code::RateLimited, 100),
            row(&two, first, Code::Valid, 1_000),
            row(&one, first, Code::Valid, 2),
        ];
        db.add_key_usage(&batch).await.unwrap();
        db.add_key_usage(&[row(&one, first, Code::Valid, 4)]).await.unwrap();
        db.add_key_usage(&[]).await.unwrap();
        let found = db.key_usage(one.id, first, next.plus_ms(1)).await.unwrap();
        let expected = [
            row(&one, first, Code::RateLimited, 100),
            row(&one, first, Code::Valid, 7),
            row(&one, next, Code::Valid, 10),
        ];
        assert_eq!(found, expected);
        assert_eq!(db.key_usage(one.id, first, next).await.unwrap(), expected[..2]);
        assert_eq!(db.key_usage(one.id, first.plus_ms(1), next).await.unwrap(), []);
        let other = db.key_usage(two.id, first, next).await.unwrap();
        assert_eq!(other, [row(&two, first, Code::Valid, 1_000)]);
    }

    async fn large_figures_do_not_fail(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, _) = key(&db, keyspace, Some(app)).await;
        let now = db.clock.now();
        let mut huge = row(&key, now, Code::Valid, 1);
        huge.cost = u64::MAX;
        db.add_key_usage(&[huge.clone(), huge]).await.unwrap();
        let found = db.key_usage(key.id, now, now.plus_ms(1)).await.unwrap();
        assert_eq!((found[0].count, found[0].cost), (6, i64::MAX.cast_unsigned()));
    }

    async fn old_minutes_go(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, _) = key(&db, keyspace, Some(app)).await;
        let now = db.clock.now();
        let later = now.plus_ms(MINUTE_MS);
        let batch = [row(&key, now, Code::Valid, 1), row(&key, later, Code::Valid, 1)];
        db.add_key_usage(&batch).await.unwrap();
        assert_eq!(db.prune_key_usage(now).await.unwrap(), 0);
        assert_eq!(db.prune_key_usage(later).await.unwrap(), 1);
        assert_eq!(db.key_usage(key.id, now, later.plus_ms(1)).await.unwrap(), batch[1..]);
    }

    async fn the_last_use_never_goes_back(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, first) = key(&db, keyspace, Some(app)).await;
        let rotation = rotation(&db, &key, MINUTE_MS).await;
        assert!(db.add_secret(&rotation, &testkit::test_store::by()).await.unwrap());
        let second = rotation.new.value;
        let now = db.clock.now();
        let used = |ms: u64, agent: &str| {
            LastUse { at: now.plus_ms(ms), address: None, user_agent: Some(agent.to_owned()) }
        };
        let shown = async || {
            let row = db.key_in_app(Some(app), key.id.as_str()).await.unwrap().unwrap();
            row.last_use
        };
        let uses = [(first.id, used(7, "new")), (second.id, used(3, "old")), (first.id, used(1, "x"))];
        db.touch_keys(&uses).await.unwrap();
        assert_eq!(shown().await, Some(used(7, "new")));
        db.touch_keys(&[(second.id, used(5, "late"))]).await.unwrap();
        assert_eq!(shown().await, Some(used(7, "new")));
        let mut secrets = db.secrets_of(key.id).await.unwrap();
        secrets.sort_by_key(|secret| secret.value.last_used_at);
        let of = |n: usize| (secrets[n].value.id, secrets[n].value.last_used_at);
        assert_eq!(of(0), (second.id, Some(now.plus_ms(5))));
        assert_eq!(of(1), (first.id, Some(now.plus_ms(7))));
        db.touch_keys(&[(second.id, used(9, &format!("{ODD}\0")))]).await.unwrap();
        let kept: String = ODD.chars().filter(|c| !c.is_control()).collect();
        assert_eq!(shown().await.unwrap().user_agent, Some(kept));
        db.touch_keys(&[]).await.unwrap();
    }
}
