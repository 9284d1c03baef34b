//! What a database that fails for a while leaves behind: nothing. A table is taken away and put
//! back; connections are cut.

use model::delivery::State;
use model::{AppId, Timestamp};
use store::{After, PublishError, Store};
use testkit::server::PATIENCE;
use testkit::test_store::{ENDPOINT_MAX_IN_FLIGHT, Started, attempt, new_message};
use testkit::{TestStore, on_both};
use tokio::task::JoinSet;

use crate::world::{app_with_endpoint, execute, publish, raw, settle, state_of};

const ROUNDS: u32 = 2 * ENDPOINT_MAX_IN_FLIGHT;
const CUT_HOT: &str = "select pg_terminate_backend(pid) from pg_stat_activity \
    where datname = current_database() and application_name = 'doorbell hot'";
const CUT_ALL: &str = "select pg_terminate_backend(pid) from pg_stat_activity \
    where datname = current_database() and pid <> pg_backend_pid()";
/// Attempts with this status are not taken at all, those with this body only without it.
const REFUSED_STATUS: u16 = 299;
const REFUSED_BODY_STATUS: u16 = 298;
const REFUSE_POSTGRES: &str = "alter table attempt add constraint refuse \
    check (status_code is distinct from 299 and response_body is distinct from 'refused')";
const REFUSE_SQLITE: &str = "create trigger refuse before insert on attempt \
    when new.status_code = 299 or new.response_body = cast('refused' as blob) \
    begin select raise(abort, 'refused'); end";
const CUT_NODES: &str = "select pg_terminate_backend(pid) from pg_stat_activity \
    where datname = current_database() and application_name = 'doorbell node'";

/// All slots of one endpoint are free: as many deliveries as it may have start at once.
async fn all_slots_are_free(db: &TestStore, started: &mut Started) {
    let app = db.app().await;
    db.endpoint(app).await;
    let n = usize::try_from(ENDPOINT_MAX_IN_FLIGHT).unwrap();
    publish(db, app, 2 * n).await;
    for _ in 0..n {
        assert_eq!(started.next().await.route.endpoint.app_id, app);
    }
}

on_both! {
    async fn a_batch_that_is_not_written_takes_no_slots(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        publish(&db, app, 1).await;
        assert!(settle(&db, &started.next().await, 200, After::Succeeded).await);
        execute(&db, "alter table delivery rename to gone").await;
        for _ in 0..ROUNDS {
            let refused = db.ingest(new_message(app)).await;
            assert!(matches!(refused, Err(PublishError::Unavailable(_))), "{refused:?}");
        }
        execute(&db, "alter table gone rename to delivery").await;
        assert_eq!(raw::<i64>(&db, "select count(*) from message").await, 1);
        publish(&db, app, usize::try_from(ENDPOINT_MAX_IN_FLIGHT).unwrap()).await;
        let mut leases = Vec::new();
        for _ in 0..ENDPOINT_MAX_IN_FLIGHT {
            let lease = started.next().await;
            assert_eq!(lease.route.endpoint.id, endpoint);
            leases.push(lease);
        }
        for lease in &leases {
            assert!(settle(&db, lease, 200, After::Succeeded).await);
        }
        all_slots_are_free(&db, &mut started).await;
    }

    async fn a_claim_that_fails_takes_nothing(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        db.endpoint_with(app, |e| e.retry_schedule = Some("1s".parse().unwrap())).await;
        let n = usize::try_from(ENDPOINT_MAX_IN_FLIGHT).unwrap();
        publish(&db, app, n).await;
        db.advance_ms(1_000);
        execute(&db, "alter table message rename to gone").await;
        for _ in 0..ROUNDS {
            assert!(db.claim().await.is_err());
        }
        execute(&db, "alter table gone rename to message").await;
        assert_eq!(raw::<i64>(&db, "select count(*) from delivery where state = 1").await, 0);
        assert_eq!(db.claim().await.unwrap().count, n);
        for _ in 0..n {
            assert!(settle(&db, &started.next().await, 200, After::Succeeded).await);
        }
        all_slots_are_free(&db, &mut started).await;
    }

    async fn an_outcome_waits_for_the_database_to_come_back(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        db.message(app).await;
        let lease = started.next().await;
        execute(&db, "alter table attempt rename to gone").await;
        let settled = settle(&db, &lease, 200, After::Succeeded);
        let back = async {
            // Queued behind the settlement, or beside it.
            let _ = db.ingest(new_message(app)).await;
            assert_eq!(state_of(&db, app, &lease).await, State::Leased);
            execute(&db, "alter table gone rename to attempt").await;
        };
        let (settled, ()) = tokio::join!(settled, back);
        assert!(settled);
        assert_eq!(state_of(&db, app, &lease).await, State::Succeeded);
    }

    async fn an_outcome_that_is_refused_keeps_no_other_waiting(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        let refuse = if db.database.is_postgres() { REFUSE_POSTGRES } else { REFUSE_SQLITE };
        execute(&db, refuse).await;
        publish(&db, app, 6).await;
        let mut settling = JoinSet::new();
        let mut leases = Vec::new();
        for status in [200, 200, REFUSED_STATUS, 200, REFUSED_BODY_STATUS, 200] {
            let lease = started.next().await;
            let mut made = attempt(&lease, db.clock.now(), Some(status));
            if status == REFUSED_BODY_STATUS {
                made.status_code = Some(200);
                made.response_body = b"refused".to_vec();
            }
            let settlement = lease.settlement(Some(made), After::Succeeded);
            let store: Store = (*db).clone();
            settling.spawn(async move { (status, store.settle(settlement).await) });
            leases.push((status, lease));
        }
        while let Some(settled) = settling.join_next().await {
            let (status, settled) = settled.unwrap();
            match status {
                REFUSED_STATUS => assert!(settled.is_err()),
                _ => assert!(settled.unwrap(), "{status}"),
            }
        }
        for (status, lease) in &leases {
            let expected =
                if *status == REFUSED_STATUS { State::Leased } else { State::Succeeded };
            assert_eq!(state_of(&db, app, lease).await, expected, "{status}");
        }
        let bodies = "select count(*) from attempt where length(response_body) = 0";
        assert_eq!(raw::<i64>(&db, bodies).await, 1, "kept without what the database refused");
        all_slots_are_free(&db, &mut started).await;
    }

    async fn a_store_that_is_dropped_keeps_no_process_from_ending(database: TestDatabase) {
        let url = database.url().to_owned();
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.unwrap();
            runtime.block_on(async {
                let store = Store::open(testkit::test_store::options(&url)).await.unwrap();
                store.migrate().await.unwrap();
                let refused = store.ingest(new_message(AppId::floor(Timestamp(0)))).await;
                assert_eq!(refused, Err(PublishError::AppNotFound));
            });
            // Waits for what runs on threads of its own.
            drop(runtime);
            ended.send(()).unwrap();
        });
        assert_eq!(end.recv_timeout(PATIENCE), Ok(()));
    }
}

mod cut_connections {
    use testkit::databases::{FromDatabase, TestDatabase, run_test};

    use super::*;

    #[test]
    fn are_opened_again() {
        run_test(async {
            let db = TestStore::from_database(TestDatabase::postgres().await).await;
            let mut started = db.started();
            let (app, _) = app_with_endpoint(&db).await;
            db.message(app).await;
            let lease = started.next().await;
            db.claim().await.unwrap();
            execute(&db, CUT_HOT).await;
            assert!(settle(&db, &lease, 200, After::Succeeded).await);
            db.claim().await.unwrap();
            let published = async {
                // One batch may meet the cut connection, in each writer.
                while db.ingest(new_message(app)).await.is_err() {}
            };
            tokio::time::timeout(PATIENCE, published).await.expect("it recovers");
        });
    }

    /// Every connection of every kind, again and again, while eight publish.
    #[test]
    fn lose_nothing_that_was_acknowledged() {
        const PUBLISHERS: usize = 8;
        const MESSAGES: usize = 40;
        const CUTS: usize = 25;
        run_test(async {
            let db = TestStore::from_database(TestDatabase::postgres().await).await;
            let (app, _) = app_with_endpoint(&db).await;
            let mut publishers = JoinSet::new();
            for _ in 0..PUBLISHERS {
                let store: Store = (*db).clone();
                publishers.spawn(async move {
                    let (mut acknowledged, mut refused) = (Vec::new(), 0);
                    while acknowledged.len() < MESSAGES {
                        match store.ingest(new_message(app)).await {
                            Ok(published) => acknowledged.push(published.id),
                            Err(PublishError::Unavailable(_)) => refused += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    (acknowledged, refused)
                });
            }
            for _ in 0..CUTS {
                execute(&db, CUT_ALL).await;
            }
            let mut refusals = 0;
            for (acknowledged, refused) in publishers.join_all().await {
                refusals += refused;
                for id in acknowledged {
                    let found = async {
                        loop {
                            // A read may meet a connection that was cut, too.
                            match db.message_in_app(app, id.as_str()).await {
                                Ok(found) => return found,
                                Err(_) => tokio::task::yield_now().await,
                            }
                        }
                    };
                    assert!(found.await.is_some(), "{id} is lost");
                }
            }
            assert!(refusals > 0, "nothing was cut");
        });
    }

    #[test]
    fn do_not_make_a_process_dead_for_long() {
        run_test(async {
            let db = TestStore::from_database(TestDatabase::postgres().await).await;
            let mut started = db.started();
            let (app, _) = app_with_endpoint(&db).await;
            db.message(app).await;
            let lease = started.next().await;
            // Noticed by ourselves first: nothing happened.
            execute(&db, CUT_NODES).await;
            assert_eq!(db.rescue().await.unwrap(), 0);
            let second = db.reopen().await;
            second.join().await.unwrap();
            assert_eq!(state_of(&db, app, &lease).await, State::Leased);
            // Noticed by the other first: it frees our leases, and we enter again.
            execute(&db, CUT_NODES).await;
            assert_eq!(second.rescue().await.unwrap(), 0, "its own connection was cut as well");
            let freed = async {
                while second.rescue().await.unwrap() == 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, freed).await.expect("the lease is freed");
            assert!(!settle(&db, &lease, 200, After::Succeeded).await);
            assert_eq!(raw::<i64>(&db, "select count(*) from node").await, 1);
            db.rescue().await.unwrap();
            assert_eq!(raw::<i64>(&db, "select count(*) from node").await, 2);
            assert_eq!(db.claim().await.unwrap().count, 1);
            let again = started.next().await;
            assert_eq!(second.rescue().await.unwrap(), 0);
            assert!(settle(&db, &again, 200, After::Succeeded).await);
            second.close().await;
        });
    }
}
