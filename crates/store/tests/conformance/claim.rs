use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use model::{DeliveryId, EndpointId, Timestamp};
use store::{After, LEASE_MS, NewMessage, Store};
use testkit::by;
use testkit::test_store::{MAX_IN_FLIGHT, Started, new_message};
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, claim_all, publish, publish_all, raw, settle};

/// Queues one delivery for each moment, counted in milliseconds from now.
async fn due_in(db: &TestStore, endpoint: EndpointId, delays_ms: &[u64]) -> Vec<DeliveryId> {
    let app: String = raw(db, "select app_id from endpoint").await;
    let app = app.parse().unwrap();
    let mut queued = Vec::new();
    for delay_ms in delays_ms {
        let published = db
            .message_with(app, |message| {
                message.deliver_at = Some(db.clock.now().plus_ms(*delay_ms));
                message.only_endpoint = Some(endpoint);
            })
            .await;
        let found = db.deliveries_of_message(app, published.id).await.unwrap();
        queued.push(found[0].delivery.id);
    }
    queued
}

async fn take(started: &mut Started, n: usize) -> Vec<DeliveryId> {
    let mut taken = Vec::new();
    for _ in 0..n {
        taken.push(started.next().await.delivery_id);
    }
    taken.sort();
    taken
}

fn sorted(ids: &[DeliveryId]) -> Vec<DeliveryId> {
    let mut ids = ids.to_vec();
    ids.sort();
    ids
}

on_both! {
    async fn nothing_is_due_in_an_empty_house(db: TestStore) {
        let claimed = db.claim().await.unwrap();
        assert_eq!((claimed.count, claimed.next_due, claimed.more), (0, None, false));
        app_with_endpoint(&db).await;
        let claimed = db.claim().await.unwrap();
        assert_eq!((claimed.count, claimed.next_due, claimed.more), (0, None, false));
    }

    async fn the_earliest_due_come_first(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        let endpoint = db.endpoint_with(app, |e| e.max_in_flight = Some(2)).await;
        let queued = due_in(&db, endpoint, &[5_000, 1_000, 4_000, 2_000, 3_000]).await;
        let start = db.clock.now();
        assert_eq!(db.claim().await.unwrap().next_due, Some(start.plus_ms(1_000)));
        db.advance_ms(4_000);
        let claimed = db.claim().await.unwrap();
        assert_eq!((claimed.count, claimed.more), (2, true));
        assert!(claimed.next_due <= Some(start.plus_ms(4_000)), "the next one is due already");
        let two = [started.next().await, started.next().await];
        let ids = two.each_ref().map(|lease| lease.delivery_id);
        assert_eq!(sorted(&ids), sorted(&[queued[1], queued[3]]));
        for lease in &two {
            assert!(settle(&db, lease, 200, After::Succeeded).await);
        }
        // Two are due; a third would be, but not yet.
        assert_eq!(claim_all(&db).await, 2);
        assert_eq!(take(&mut started, 2).await, sorted(&[queued[2], queued[4]]));
        let claimed = db.claim().await.unwrap();
        assert_eq!((claimed.next_due, claimed.more), (Some(start.plus_ms(5_000)), false));
    }

    async fn a_claim_leases_what_it_takes(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        due_in(&db, endpoint, &[1_000]).await;
        let now = db.advance_ms(1_000);
        assert_eq!(db.claim().await.unwrap().count, 1);
        let lease = started.next().await;
        assert_eq!((lease.attempts, lease.until), (0, now.plus_ms(LEASE_MS)));
        let row = crate::world::delivery_of(&db, app, &lease).await.delivery;
        assert_eq!(row.lease_until, Some(lease.until));
        assert_eq!(db.claim().await.unwrap().count, 0);
        assert!(settle(&db, &lease, 200, After::Succeeded).await);
    }

    async fn a_claim_has_slots_for_all_it_takes(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        for _ in 0..6 {
            db.endpoint_with(app, |e| e.throttle_rate = Some(1_000_000)).await;
        }
        publish(&db, app, 20).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            db.claim().await.unwrap();
            held.extend(started.now());
            db.advance_ms(1);
        }
        let slots = usize::try_from(MAX_IN_FLIGHT).unwrap();
        assert!(held.len() <= slots, "{} under way", held.len());
        let leased: i64 = raw(&db, "select count(*) from delivery where state = 1").await;
        assert_eq!(usize::try_from(leased).unwrap(), held.len());
    }

    async fn every_due_endpoint_gets_its_share(db: TestStore) {
        let mut started = db.started();
        let (app, long) = app_with_endpoint(&db).await;
        let to = |only| NewMessage { only_endpoint: Some(only), ..new_message(app) };
        let later = |message| {
            NewMessage { deliver_at: Some(db.clock.now().plus_ms(1_000)), ..message }
        };
        publish_all(&db, vec![later(to(long)); 300]).await;
        db.advance_ms(1);
        let mut short = BTreeSet::new();
        for _ in 0..3 {
            let endpoint = db.endpoint(app).await;
            short.insert(endpoint);
            db.ingest(later(to(endpoint))).await.unwrap();
        }
        db.advance_ms(1_000);
        assert!(db.claim().await.unwrap().more);
        let leases = started.now();
        let served: BTreeSet<_> = leases.iter().map(|lease| lease.route.endpoint.id).collect();
        assert!(served.is_superset(&short), "the long queue left room for the short ones");
        assert!(served.contains(&long));
    }

    async fn more_lanes_than_slots_all_move(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        for _ in 0..40 {
            db.endpoint(app).await;
        }
        publish(&db, app, 3).await;
        let mut done: HashMap<EndpointId, u32> = HashMap::new();
        for _ in 0..200 {
            db.claim().await.unwrap();
            for lease in started.now() {
                *done.entry(lease.route.endpoint.id).or_default() += 1;
                assert!(settle(&db, &lease, 200, After::Succeeded).await);
            }
        }
        assert_eq!(done.len(), 40);
        assert!(done.values().all(|n| *n == 3));
    }

    async fn a_lane_without_room_is_passed_over(db: TestStore) {
        let mut started = db.started();
        let (app, full) = app_with_endpoint(&db).await;
        publish(&db, app, 12).await;
        let under_way = started.next().await;
        assert_eq!(under_way.route.endpoint.id, full);
        let free = db.endpoint_with(app, |e| e.throttle_rate = Some(1_000)).await;
        db.message_with(app, |message| message.only_endpoint = Some(free)).await;
        started.now();
        let claimed = db.claim().await.unwrap();
        assert_eq!(claimed.count, 1);
        assert!(claimed.more, "the full lane still has something due");
        assert_eq!(started.next().await.route.endpoint.id, free);
    }

    async fn a_hold_is_respected(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        publish(&db, app, 10).await;
        let lease = started.next().await;
        let hold = db.clock.now().plus_ms(30_000);
        let mut settlement = lease.settlement(None, After::RetryAt(db.clock.now().plus_ms(1_000)));
        settlement.hold_until = Some(hold);
        assert!(db.settle(settlement).await.unwrap());
        for lease in started.now() {
            settle(&db, &lease, 200, After::Succeeded).await;
        }
        assert_eq!(db.hold_of(endpoint).await.unwrap(), Some(hold));
        db.message(app).await;
        db.advance_ms(29_999);
        let claimed = db.claim().await.unwrap();
        assert_eq!((claimed.count, claimed.next_due), (0, Some(hold)));
        // Saving the endpoint does not cut short what its receiver asked for.
        db.change(app, endpoint, |endpoint| endpoint.description = "changed".to_owned()).await;
        assert_eq!(db.hold_of(endpoint).await.unwrap(), Some(hold));
        // Another endpoint of the app is not concerned.
        let other = db.endpoint(app).await;
        db.message_with(app, |message| message.only_endpoint = Some(other)).await;
        assert_eq!(started.next().await.route.endpoint.id, other);
        db.advance_ms(1);
        assert_eq!(db.hold_of(endpoint).await.unwrap(), None);
        assert!(db.claim().await.unwrap().count > 0);
    }

    async fn a_backlog_survives_a_pause(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        publish(&db, app, 30).await;
        let now = db.clock.now();
        db.change(app, endpoint, |endpoint| endpoint.paused_at = Some(now)).await;
        db.message(app).await;
        let mut leased: Vec<_> = started.now();
        while leased.len() < 8 {
            leased.push(started.next().await);
        }
        for lease in &leased {
            assert!(settle(&db, lease, 200, After::Succeeded).await, "what is under way goes on");
        }
        let claimed = db.claim().await.unwrap();
        assert_eq!((claimed.count, claimed.next_due, claimed.more), (0, None, false));
        assert_eq!(db.hold_of(endpoint).await.unwrap(), Some(Timestamp::NEVER));
        db.change(app, endpoint, |endpoint| endpoint.paused_at = None).await;
        let mut done = 0;
        while db.claim().await.unwrap().count > 0 {
            while let [first, rest @ ..] = &started.now()[..] {
                for lease in [first].into_iter().chain(rest) {
                    assert!(settle(&db, lease, 200, After::Succeeded).await);
                    done += 1;
                }
            }
            // What piled up is drained step by step.
            db.advance_ms(200);
        }
        assert_eq!(done, 23);
    }

    async fn resuming_rings(db: TestStore) {
        let app = db.app().await;
        let endpoint = db.endpoint_with(app, |e| e.paused_at = Some(e.created_at)).await;
        db.message(app).await;
        let wake = db.wake().clone();
        // A ring from before is used up.
        let _ = tokio::time::timeout(Duration::ZERO, wake.queue()).await;
        let rung = wake.queue();
        db.change(app, endpoint, |endpoint| endpoint.paused_at = None).await;
        tokio::time::timeout(testkit::server::PATIENCE, rung).await.expect("a ring");
    }

    async fn an_erased_payload_is_claimed_without_it(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let queued = due_in(&db, endpoint, &[1_000]).await;
        db.erase_payload(app, queued[0].message_id(), &by()).await.unwrap();
        db.advance_ms(1_000);
        db.claim().await.unwrap();
        let lease = started.next().await;
        assert_eq!(lease.envelope.payload, None);
        assert_eq!(lease.envelope.event_type, "contact.created");
    }

    async fn two_processes_never_claim_the_same(db: TestStore) {
        let app = db.app().await;
        for _ in 0..10 {
            db.endpoint_with(app, |e| e.paused_at = Some(e.created_at)).await;
        }
        publish(&db, app, 40).await;
        for endpoint in db.endpoints_in_app(app, &crate::world::pages(99)).await.unwrap().data {
            db.change(app, endpoint.id, |endpoint| endpoint.paused_at = None).await;
        }
        let second = db.reopen().await;
        let (mut here, mut there) = (Started::of(&db), Started::of(&second));
        let (one, two) = tokio::join!(drain(&db, &mut here), drain(&second, &mut there));
        let all: BTreeSet<_> = one.iter().chain(&two).copied().collect();
        assert_eq!((one.len() + two.len(), all.len()), (400, 400));
        let failed = "select count(*) from delivery where state <> 2 or attempts <> 0";
        assert_eq!(raw::<i64>(&db, failed).await, 0);
        second.close().await;
    }
}

/// Claims and settles until the queue is empty.
async fn drain(store: &Store, started: &mut Started) -> Vec<DeliveryId> {
    let mut done = Vec::new();
    loop {
        let claimed = store.claim().await.unwrap();
        for lease in started.now() {
            done.push(lease.delivery_id);
            let settlement = lease.settlement(None, After::Succeeded);
            assert!(store.settle(settlement).await.unwrap());
        }
        match claimed.next_due {
            None if claimed.count == 0 => return done,
            // What piled up is drained step by step.
            Some(due) if claimed.count == 0 && !claimed.more => store.clock().advance_to(due),
            _ => {}
        }
        tokio::task::yield_now().await;
    }
}
