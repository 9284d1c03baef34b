//! After a hold, what piled up is drained: oldest first, at a bounded rate, and nothing overtakes it.

use model::breaker::Override;
use model::{AppId, DeliveryId, EndpointId, Timestamp};
use store::{After, Store};
use testkit::by;
use testkit::test_store::Started;
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, publish, raw, settle};

async fn pause(db: &TestStore, app: AppId, endpoint: EndpointId) {
    let now = db.clock.now();
    db.change(app, endpoint, |endpoint| endpoint.paused_at = Some(now)).await;
}

async fn resume(db: &TestStore, app: AppId, endpoint: EndpointId) {
    db.change(app, endpoint, |endpoint| endpoint.paused_at = None).await;
}

async fn set_drain_rate(db: &TestStore, app: AppId, rate: u32) {
    let own = Override { drain_rate: Some(rate), ..Override::default() };
    db.set_thresholds(app, None, &own, &by()).await.unwrap();
}

/// Claims and settles until nothing is queued, letting time pass from one due time to the next;
/// answers what started when.
async fn starts(
    db: &TestStore,
    store: &Store,
    started: &mut Started,
) -> Vec<(DeliveryId, Timestamp)> {
    let mut noted = Vec::new();
    loop {
        let claimed = store.claim().await.unwrap();
        for lease in started.now() {
            noted.push((lease.delivery_id, db.clock.now()));
            assert!(store.settle(lease.settlement(None, After::Succeeded)).await.unwrap());
        }
        match claimed.next_due {
            None if claimed.count == 0 => return noted,
            None => {}
            Some(due) => db.clock.advance_to(due.max(db.clock.now().plus_ms(1))),
        }
    }
}

fn check(starts: &[(DeliveryId, Timestamp)], rate: u64) {
    for (n, (_, from)) in starts.iter().enumerate() {
        let within = starts[n..].iter().filter(|(_, at)| at.since_ms(*from) < 1_000).count();
        assert!(within as u64 <= rate, "{within} in a second at {rate}/s");
    }
    assert!(starts.is_sorted_by_key(|(id, _)| id.message_id()), "oldest first");
}

on_both! {
    async fn a_backlog_is_drained_at_the_drain_rate(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        set_drain_rate(&db, app, 20).await;
        pause(&db, app, endpoint).await;
        for _ in 0..60 {
            publish(&db, app, 1).await;
            db.advance_ms(1);
        }
        resume(&db, app, endpoint).await;
        let since = db.clock.now();
        // What comes now does not overtake it.
        publish(&db, app, 1).await;
        assert!(started.now().is_empty());
        assert_eq!(db.next_due().await.unwrap(), Some(since.minus_ms(60)));
        assert_eq!(db.under_way().await.unwrap(), 0);
        let noted = starts(&db, &db, &mut started).await;
        assert_eq!(noted.len(), 61);
        check(&noted, 20);
        let took_ms = noted[60].1.since_ms(since);
        assert!((2_800..=3_400).contains(&took_ms), "{took_ms} ms");
        // Then all is as ever.
        publish(&db, app, 1).await;
        db.claim().await.unwrap();
        settle(&db, &started.next().await, 200, After::Succeeded).await;
        publish(&db, app, 1).await;
        assert_eq!(started.next().await.attempts, 0, "it starts at once");
    }

    async fn the_rate_of_the_endpoint_is_kept_if_it_is_lower(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        let endpoint = db.endpoint_with(app, |endpoint| endpoint.throttle_rate = Some(5)).await;
        pause(&db, app, endpoint).await;
        publish(&db, app, 20).await;
        resume(&db, app, endpoint).await;
        let noted = starts(&db, &db, &mut started).await;
        assert_eq!(noted.len(), 20);
        check(&noted, 5);
    }

    async fn what_comes_after_the_hold_is_not_drained(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        set_drain_rate(&db, app, 5).await;
        pause(&db, app, endpoint).await;
        publish(&db, app, 5).await;
        resume(&db, app, endpoint).await;
        let resumed = db.clock.now();
        assert_eq!(db.claim().await.unwrap().count, 1);
        // More arrives than the drain takes: it would never end.
        for _ in 0..10 {
            db.advance_ms(1);
            publish(&db, app, 1).await;
        }
        let noted = starts(&db, &db, &mut started).await;
        assert_eq!(noted.len(), 15);
        let took_ms = noted[14].1.since_ms(resumed);
        assert!(took_ms < 1_500, "the five are drained, the others are not: {took_ms} ms");
        assert_eq!(raw::<i64>(&db, "select cast(max(drains) as bigint) from lane").await, 0);
    }

    async fn the_drain_of_one_does_not_slow_another(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        set_drain_rate(&db, app, 1).await;
        pause(&db, app, endpoint).await;
        publish(&db, app, 10).await;
        resume(&db, app, endpoint).await;
        let other = db.endpoint(app).await;
        for _ in 0..5 {
            let sent = db.message_with(app, |message| message.only_endpoint = Some(other)).await;
            let lease = started.next().await;
            assert_eq!(lease.envelope.message_id, sent.id);
            settle(&db, &lease, 200, After::Succeeded).await;
        }
    }

    async fn processes_drain_together_at_one_rate(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        set_drain_rate(&db, app, 10).await;
        pause(&db, app, endpoint).await;
        publish(&db, app, 30).await;
        resume(&db, app, endpoint).await;
        let other = db.reopen().await;
        let (mut here, mut there) = (db.started(), Started::of(&other));
        let mut taken = Vec::new();
        while taken.len() < 30 {
            for (store, started) in [(&*db, &mut here), (&other, &mut there)] {
                store.claim().await.unwrap();
                for lease in started.now() {
                    taken.push((lease.delivery_id, db.clock.now()));
                    let done = lease.settlement(None, After::Succeeded);
                    assert!(store.settle(done).await.unwrap());
                }
            }
            db.advance_ms(50);
        }
        check(&taken, 10);
        other.close().await;
    }

    async fn a_pause_that_the_receiver_asked_for_ends_with_resuming(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let other = db.reopen().await;
        let mut started_there = Started::of(&other);
        for (store, started) in [(&*db, &mut started), (&other, &mut started_there)] {
            store.ingest(testkit::test_store::new_message(app)).await.unwrap();
            let lease = started.next().await;
            let now = db.clock.now();
            let mut settlement = lease.settlement(None, After::RetryAt(now.plus_ms(1)));
            settlement.hold_until = Some(now.plus_ms(3_600_000));
            assert!(store.settle(settlement).await.unwrap());
            db.advance_ms(5);
            pause(&db, app, endpoint).await;
            resume(&db, app, endpoint).await;
            db.advance_ms(5);
            assert_eq!(store.claim().await.unwrap().count, 1, "nothing remembers the pause");
            settle_in(store, started).await;
        }
        other.close().await;
    }
}

async fn settle_in(store: &Store, started: &mut Started) {
    let lease = started.next().await;
    assert!(store.settle(lease.settlement(None, After::Succeeded)).await.unwrap());
}
