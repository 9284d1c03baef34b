use model::delivery::State;
use store::{After, Counts, Lease, StoreError};
use testkit::test_store::{Started, attempt, new_message};
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, delivery_of, publish, raw, settle, settled, state_of};

/// What a settlement may change.
async fn footprint(db: &TestStore, lease: &Lease) -> (State, u32, usize, Counts) {
    let endpoint = &lease.route.endpoint;
    let row = delivery_of(db, endpoint.app_id, lease).await.delivery;
    let tried = db.attempts_of_delivery(endpoint.app_id, lease.delivery_id).await.unwrap();
    let now = db.clock.now();
    let counts = db.counts(endpoint.id, now, now.plus_ms(1)).await.unwrap();
    (row.state, row.attempts, tried.len(), counts)
}

on_both! {
    async fn each_outcome_moves_the_delivery(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        let due = db.clock.now().plus_ms(7_000);
        for (after, state, settled_at) in [
            (After::Succeeded, State::Succeeded, Some(db.clock.now())),
            (After::Failed, State::Failed, Some(db.clock.now())),
            (After::Canceled, State::Canceled, Some(db.clock.now())),
            (After::RetryAt(due), State::Queued, None),
        ] {
            let lease = settled(&db, &mut started, new_message(app), 500, after).await;
            let row = delivery_of(&db, app, &lease).await.delivery;
            assert_eq!((row.state, row.settled_at, row.attempts), (state, settled_at, 1));
            assert_eq!(row.lease_until, None);
            if state == State::Queued {
                assert_eq!(row.due_at, due);
            }
        }
        let left: i64 =
            raw(&db, "select count(*) from delivery where lease_owner is not null").await;
        assert_eq!(left, 0);
    }

    async fn what_was_released_is_due_at_once(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        db.message(app).await;
        let lease = started.next().await;
        db.advance_ms(10);
        assert!(db.settle(lease.settlement(None, After::Released)).await.unwrap());
        let (state, attempts, tried, _) = footprint(&db, &lease).await;
        assert_eq!((state, attempts, tried), (State::Queued, 0, 0));
        assert_eq!(db.claim().await.unwrap().count, 1);
        assert_eq!(started.next().await.delivery_id, lease.delivery_id);
    }

    async fn a_lost_lease_changes_nothing(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        db.message(app).await;
        let lost = started.next().await;
        db.advance_ms(store::LEASE_MS);
        db.rescue().await.unwrap();
        let queued = footprint(&db, &lost).await;
        assert!(!settle(&db, &lost, 200, After::Succeeded).await);
        assert_eq!(footprint(&db, &lost).await, queued);
        db.claim().await.unwrap();
        let again = started.next().await;
        let due = db.clock.now().plus_ms(1_000);
        assert!(settle(&db, &again, 500, After::RetryAt(due)).await);
        db.advance_ms(1_000);
        db.claim().await.unwrap();
        let third = started.next().await;
        // It is ours, but it is not the lease that this settlement belongs to.
        let leased = footprint(&db, &third).await;
        assert!(!settle(&db, &lost, 200, After::Succeeded).await);
        assert_eq!(footprint(&db, &third).await, leased);
        assert!(settle(&db, &third, 200, After::Succeeded).await);
        assert!(!settle(&db, &third, 500, After::Failed).await, "settled is settled");
        let (state, attempts, tried, counts) = footprint(&db, &third).await;
        assert_eq!((state, attempts, tried), (State::Succeeded, 2, 2));
        assert_eq!((counts.succeeded, counts.failed), (1, 0));
    }

    async fn one_lost_lease_does_not_spoil_the_batch(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        for _ in 0..6 {
            db.endpoint(app).await;
        }
        db.message(app).await;
        let mut leases = Vec::new();
        for _ in 0..6 {
            leases.push(started.next().await);
        }
        assert!(settle(&db, &leases[2], 200, After::Succeeded).await);
        assert!(settle(&db, &leases[4], 200, After::Succeeded).await);
        let (a, b, c, d, e, f, published) = tokio::join!(
            settle(&db, &leases[0], 500, After::Failed),
            settle(&db, &leases[1], 500, After::Failed),
            settle(&db, &leases[2], 500, After::Failed),
            settle(&db, &leases[3], 500, After::Failed),
            settle(&db, &leases[4], 500, After::Failed),
            settle(&db, &leases[5], 500, After::Failed),
            db.ingest(new_message(app)),
        );
        assert_eq!([a, b, c, d, e, f], [true, true, false, true, false, true]);
        published.unwrap();
        for (n, lease) in leases.iter().enumerate() {
            let expected = if n == 2 || n == 4 { State::Succeeded } else { State::Failed };
            assert_eq!(state_of(&db, app, lease).await, expected);
        }
        assert_eq!(raw::<i64>(&db, "select count(*) from attempt").await, 6);
    }

    async fn many_at_once_are_summed_exactly(db: TestStore) {
        let big = db
            .reopen_with(|options| {
                options.max_in_flight = 4_000;
                options.endpoint_max_in_flight = 1_500;
            })
            .await;
        let mut started = Started::of(&big);
        let (app, endpoint) = app_with_endpoint(&db).await;
        let second = db.endpoint(app).await;
        let answers = big.ingest_batch(vec![new_message(app); 1_000]).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        let mut settlements = tokio::task::JoinSet::new();
        for n in 0..2_000 {
            let lease = started.next().await;
            let (status, after) =
                if n % 4 == 0 { (500, After::Failed) } else { (200, After::Succeeded) };
            let done = attempt(&lease, db.clock.now(), Some(status));
            let (store, settlement) = (big.clone(), lease.settlement(Some(done), after));
            let to_second = lease.route.endpoint.id == second;
            settlements.spawn(async move {
                (store.settle(settlement).await.unwrap(), to_second && after == After::Failed)
            });
        }
        let mut failed_at_second = 0;
        for (ours, failed) in settlements.join_all().await {
            assert!(ours);
            failed_at_second += u64::from(failed);
        }
        let now = db.clock.now();
        let counts = db.counts(endpoint, now, now.plus_ms(1)).await.unwrap();
        let of_second = db.counts(second, now, now.plus_ms(1)).await.unwrap();
        assert_eq!(of_second.failed, failed_at_second);
        assert_eq!(counts.failed + of_second.failed, 500);
        assert_eq!(counts.succeeded + of_second.succeeded, 1_500);
        assert_eq!(raw::<i64>(&db, "select count(*) from attempt").await, 2_000);
        big.close().await;
    }

    async fn a_settlement_frees_its_slot_and_tells(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        db.endpoint_with(app, |e| e.max_in_flight = Some(1)).await;
        let mut settled = db.wake().settled();
        for n in 1..=20 {
            db.message(app).await;
            let lease = started.next().await;
            assert!(settle(&db, &lease, 200, After::Succeeded).await);
            settled.wait_for(|count| *count >= n).await.unwrap();
        }
    }

    async fn after_closing_nothing_is_settled(db: TestStore) {
        let second = db.reopen().await;
        let mut started = Started::of(&second);
        let (app, _) = app_with_endpoint(&db).await;
        second.ingest(new_message(app)).await.unwrap();
        let lease = started.next().await;
        second.close().await;
        let late = second.settle(lease.settlement(None, After::Succeeded)).await;
        assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
        assert_eq!(db.claim().await.unwrap().count, 1, "it is somebody else's now");
    }

    async fn settlements_in_the_queue_are_written_before_closing(db: TestStore) {
        let second = db.reopen().await;
        let mut started = Started::of(&second);
        let (app, _) = app_with_endpoint(&db).await;
        second.ingest_batch(vec![new_message(app); 8]).await.unwrap();
        let mut settlements = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let settlement = started.next().await.settlement(None, After::Succeeded);
            let store = second.clone();
            settlements.spawn(async move { store.settle(settlement).await });
        }
        settlements.join_next().await.unwrap().unwrap().unwrap();
        second.close().await;
        let mut written = 1;
        while let Some(answer) = settlements.join_next().await {
            written += i64::from(answer.unwrap().is_ok());
        }
        let succeeded: i64 = raw(&db, "select count(*) from delivery where state = 2").await;
        assert_eq!(succeeded, written);
    }

    async fn a_throng_of_publishers_and_deliverers_loses_nothing(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let mut publishers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let store = (*db).clone();
            publishers.spawn(async move {
                for _ in 0..10 {
                    store.ingest(new_message(app)).await.unwrap();
                }
            });
        }
        let mut done = 0;
        while done < 200 {
            db.claim().await.unwrap();
            for lease in started.now() {
                assert!(settle(&db, &lease, 200, After::Succeeded).await);
                done += 1;
            }
        }
        publishers.join_all().await;
        let now = db.clock.now();
        let counts = db.counts(endpoint, now, now.plus_ms(1)).await.unwrap();
        assert_eq!(counts, Counts { succeeded: 200, ..Counts::default() });
        publish(&db, app, 1).await;
    }
}
