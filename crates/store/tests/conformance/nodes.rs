use std::time::Duration;

use model::delivery::State;
use store::{After, LEASE_MS, Store};
use testkit::by;
use testkit::server::PATIENCE;
use testkit::test_store::{Started, attempt, new_message, options};
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, raw, settle, state_of};

on_both! {
    async fn a_lease_that_ended_is_free_again(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        db.message(app).await;
        let lost = started.next().await;
        db.advance_ms(LEASE_MS - 1);
        assert_eq!(db.rescue().await.unwrap(), 0);
        assert_eq!(db.claim().await.unwrap().count, 0);
        let now = db.advance_ms(1);
        assert_eq!(db.rescue().await.unwrap(), 1);
        assert_eq!(db.rescue().await.unwrap(), 0);
        assert_eq!(state_of(&db, app, &lost).await, State::Queued);
        assert_eq!(db.claim().await.unwrap().count, 1);
        let again = started.next().await;
        assert_eq!((again.delivery_id, again.attempts), (lost.delivery_id, 0));
        assert_eq!(again.until, now.plus_ms(LEASE_MS));
        assert_eq!(again.envelope.payload, lost.envelope.payload);
        assert!(settle(&db, &again, 200, After::Succeeded).await);
        assert!(!settle(&db, &lost, 500, After::Failed).await, "it came too late");
        let counts = db.counts(endpoint, now, now.plus_ms(1)).await.unwrap();
        assert_eq!((counts.succeeded, counts.failed), (1, 0));
    }

    async fn a_node_that_showed_its_life_before_it_joins_does_not_wait_for_itself(db: TestStore) {
        let node = db.reopen().await;
        node.confirm_changes(0).await.unwrap();
        let joined = tokio::time::timeout(PATIENCE, async {
            node.join().await.unwrap();
            node.join().await.unwrap();
        });
        joined.await.expect("it waits for its own lock");
        node.close().await;
    }

    async fn many_leases_are_freed_in_steps(db: TestStore) {
        let big = db
            .reopen_with(|options| {
                options.max_in_flight = 4_000;
                options.endpoint_max_in_flight = 2_000;
            })
            .await;
        let (app, _) = app_with_endpoint(&db).await;
        let answers = big.ingest_batch(vec![new_message(app); 1_500]).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        db.advance_ms(LEASE_MS);
        assert_eq!(db.rescue().await.unwrap(), 1_500);
        big.close().await;
    }

    async fn closing_frees_what_was_not_settled(db: TestStore) {
        let (app, _) = app_with_endpoint(&db).await;
        let first = db.reopen().await;
        first.join().await.unwrap();
        first.ingest(new_message(app)).await.unwrap();
        first.close().await;
        let nodes: i64 = raw(&db, "select count(*) from node").await;
        // On SQLite the one that came later had put the earlier one out.
        assert_eq!(nodes, i64::from(db.database.is_postgres()), "the one that closed has left");
        assert_eq!(db.claim().await.unwrap().count, 1);
    }

    async fn what_a_dead_process_held_is_free_at_once(db: TestDatabase) {
        let url = db.url().to_owned();
        let dead = std::thread::spawn(move || killed(&url)).join().unwrap();
        let store = open(db.url()).await;
        let mut started = Started::of(&store);
        // A server notices a broken connection in its own time.
        let freed = tokio::time::timeout(PATIENCE, async {
            store.join().await.unwrap();
            while store.claim().await.unwrap().count == 0 {
                store.rescue().await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        freed.await.expect("the lease is freed before it ends");
        assert_eq!(started.next().await.delivery_id, dead);
        store.close().await;
    }

    async fn what_a_living_process_holds_stays(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        db.message(app).await;
        let lease = started.next().await;
        let second = db.reopen().await;
        if db.database.is_postgres() {
            second.join().await.unwrap();
            assert_eq!(second.rescue().await.unwrap(), 0);
            assert!(settle(&db, &lease, 200, After::Succeeded).await);
        } else {
            // Of one file there is one process that delivers: whoever comes later.
            second.join().await.unwrap();
            assert_eq!(state_of(&db, app, &lease).await, State::Queued);
            assert!(!settle(&db, &lease, 200, After::Succeeded).await);
        }
        second.close().await;
    }

    async fn a_foreign_lease_cannot_be_settled(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        db.message(app).await;
        let lease = started.next().await;
        let second = db.reopen().await;
        let done = attempt(&lease, db.clock.now(), Some(200));
        let settlement = lease.settlement(Some(done), After::Succeeded);
        assert!(!second.settle(settlement).await.unwrap());
        assert_eq!(state_of(&db, app, &lease).await, State::Leased);
        second.close().await;
    }
}

async fn open(url: &str) -> Store {
    let store = Store::open(options(url)).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// A process that leases a delivery and is gone: its runtime stops with everything in it.
fn killed(url: &str) -> model::DeliveryId {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let leased = runtime.block_on(async {
        let store = open(url).await;
        store.join().await.unwrap();
        let mut started = Started::of(&store);
        let app = model::app::App {
            id: model::AppId::new(testkit::START, store.entropy()),
            uid: None,
            name: "app".to_owned(),
            throttle_rate: None,
            metadata: Default::default(),
            created_at: testkit::START,
            updated_at: testkit::START,
        };
        store.insert_app(&app, &by()).await.unwrap();
        let endpoint = model::endpoint::Endpoint {
            id: model::EndpointId::new(testkit::START, store.entropy()),
            app_id: app.id,
            uid: None,
            url: "https://receiver.example".to_owned(),
            description: String::new(),
            filter: Default::default(),
            throttle_rate: None,
            max_in_flight: None,
            metadata: Default::default(),
            headers: Default::default(),
            disabled: None,
            paused_at: None,
            retry_schedule: None,
            body_signature: None,
            created_at: testkit::START,
            updated_at: testkit::START,
        };
        let secret = model::signature::Secret::generate_hmac(store.entropy());
        store.insert_endpoint(&endpoint, &secret, &by()).await.unwrap();
        store.ingest(new_message(app.id)).await.unwrap();
        started.next().await.delivery_id
    });
    runtime.shutdown_timeout(Duration::from_millis(1));
    leased
}
