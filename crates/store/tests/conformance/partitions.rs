use model::retention::Day;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use store::{After, Store};
use testkit::test_store::{new_message, options};
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, execute, raw, settled};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const MIGRATION: &str = include_str!("../../migrations/postgres/0010_retention.sql");

/// The partition that the only attempt is in.
const HOME: &str = "select tableoid::regclass::text from attempt";

on_both! {
    async fn each_day_has_its_partition_and_the_rest_the_default(db: TestStore) {
        if !db.database.is_postgres() {
            assert!(db.make_partitions().await.unwrap().is_empty());
            assert!(db.expired_partitions(Day::of(db.clock.now())).await.unwrap().is_empty());
            return;
        }
        let (app, _) = app_with_endpoint(&db).await;
        let mut started = db.started();
        settled(&db, &mut started, new_message(app), 200, After::Succeeded).await;
        assert_eq!(raw::<String>(&db, HOME).await, "attempt_20261124");
        assert!(db.make_partitions().await.unwrap().is_empty(), "they are there");
        // The clock jumps, and nobody made partitions.
        execute(&db, "delete from attempt").await;
        db.advance_ms(900 * DAY_MS);
        settled(&db, &mut started, new_message(app), 200, After::Succeeded).await;
        assert_eq!(raw::<String>(&db, HOME).await, "attempt_default");
        // Today stays in the default partition; the next days get theirs.
        let made = db.make_partitions().await.unwrap();
        assert_eq!((made.len(), made[0].as_str()), (7, "attempt_20290513"));
        // Moved out of it, the day is carved out.
        execute(&db, "delete from attempt").await;
        assert_eq!(db.make_partitions().await.unwrap(), ["attempt_20290512"]);
    }

    async fn an_expired_partition_is_taken_out_read_and_dropped(db: TestStore) {
        if !db.database.is_postgres() {
            return;
        }
        let (app, endpoint) = app_with_endpoint(&db).await;
        let mut started = db.started();
        settled(&db, &mut started, new_message(app), 200, After::Succeeded).await;
        let today = Day::of(db.clock.now());
        assert!(db.expired_partitions(today).await.unwrap().is_empty());
        let expired = db.expired_partitions(today.plus(1)).await.unwrap();
        let [partition] = &expired[..] else { panic!("{expired:?}") };
        assert_eq!((partition.label().as_str(), partition.attached), ("2026-11-24", true));
        assert!(db.detach_partition(partition).await.unwrap());
        let listed = async || {
            db.attempts_of_endpoint(app, endpoint, &Default::default()).await.unwrap().data.len()
        };
        assert_eq!(listed().await, 0);
        // Whoever died here finds it again.
        let again = db.expired_partitions(today).await.unwrap();
        assert!(again.len() == 1 && !again[0].attached);
        let page = db.read_partition(&again[0], None).await.unwrap();
        assert_eq!((page.rows.len(), page.next), (1, None));
        db.drop_partition(&again[0]).await.unwrap();
        assert!(db.expired_partitions(today).await.unwrap().is_empty());
        // Too late for its partition, and kept all the same.
        settled(&db, &mut started, new_message(app), 200, After::Succeeded).await;
        assert_eq!(raw::<String>(&db, HOME).await, "attempt_default");
        assert_eq!(listed().await, 1);
    }

    async fn a_table_in_use_is_not_waited_for(db: TestStore) {
        if !db.database.is_postgres() {
            return;
        }
        let mut reader = PgConnection::connect(db.database.url()).await.unwrap();
        let mut tx = reader.begin().await.unwrap();
        tx.execute("lock table attempt in access share mode").await.unwrap();
        let expired = db.expired_partitions(Day::of(db.clock.now()).plus(1)).await.unwrap();
        assert!(!db.detach_partition(&expired[0]).await.unwrap());
        tx.rollback().await.unwrap();
        assert!(db.detach_partition(&expired[0]).await.unwrap());
    }

    async fn what_there_was_becomes_the_first_partition(db: TestStore) {
        if !db.database.is_postgres() {
            return;
        }
        let (app, _) = app_with_endpoint(&db).await;
        let mut started = db.started();
        for _ in 0..2 {
            settled(&db, &mut started, new_message(app), 200, After::Succeeded).await;
            db.advance_ms(DAY_MS);
        }
        // As it was before.
        for sql in [
            "create table old (like attempt including all)",
            "insert into old select * from attempt",
            "drop table attempt",
            "alter table old rename to attempt",
            "alter index old_pkey rename to attempt_pkey",
            "alter index old_endpoint_id_at_id_idx rename to attempt_endpoint",
            "drop table retention, housekeeping, housekeeping_run",
        ] {
            execute(&db, sql).await;
        }
        let mut connection = PgConnection::connect(db.database.url()).await.unwrap();
        connection.execute(AssertSqlSafe(MIGRATION)).await.unwrap();
        assert_eq!(raw::<i64>(&db, "select count(*) from attempt_before").await, 2);
        let store: Store = Store::open(options(db.database.url())).await.unwrap();
        store.migrate().await.unwrap();
        // It ends with the day of its newest message, which was yesterday.
        settled(&db, &mut started, new_message(app), 200, After::Succeeded).await;
        assert_eq!(raw::<i64>(&db, "select count(*) from attempt_20261126").await, 1);
        let today = Day::of(db.clock.now());
        assert_eq!(db.expired_partitions(today).await.unwrap()[0].label(), "before");
    }
}
