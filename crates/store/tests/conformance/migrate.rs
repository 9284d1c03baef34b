use store::{Store, StoreError};
use testkit::test_store::options;
use testkit::{TestStore, on_both};

use crate::world::{execute, raw};

on_both! {
    async fn a_second_time_does_nothing(db: TestStore) {
        let before: i64 = raw(&db, "select count(*) from migration").await;
        assert_eq!(db.migrate().await.unwrap(), 0);
        db.check_schema().await.unwrap();
        assert_eq!(raw::<i64>(&db, "select count(*) from migration").await, before);
    }

    async fn a_newer_schema_is_refused(db: TestStore) {
        let newer = "insert into migration (version, name, applied_at) values (999, 'x', 0)";
        execute(&db, newer).await;
        for refused in [db.migrate().await.map(drop), db.check_schema().await] {
            let ahead = matches!(refused, Err(StoreError::SchemaAhead { version: 999, .. }));
            assert!(ahead, "{refused:?}");
        }
    }

    async fn an_older_schema_is_told_apart(db: TestStore) {
        execute(&db, "delete from migration").await;
        let refused = db.check_schema().await;
        assert!(matches!(refused, Err(StoreError::SchemaBehind { version: 0, .. })), "{refused:?}");
        execute(&db, "drop table migration").await;
        let refused = db.check_schema().await;
        assert!(matches!(refused, Err(StoreError::SchemaBehind { version: 0, .. })), "{refused:?}");
    }

    async fn two_processes_migrate_once(db: TestDatabase) {
        if db.is_postgres() {
            empty(db.url()).await;
        }
        let open = async || Store::open(options(db.url())).await.unwrap();
        let (one, two) = (open().await, open().await);
        let (first, second) = tokio::join!(one.migrate(), two.migrate());
        let newest = first.unwrap() + second.unwrap();
        assert!(newest >= 1);
        one.check_schema().await.unwrap();
        two.check_schema().await.unwrap();
        one.close().await;
        two.close().await;
    }
}

/// A database of the suite is a copy of one that is migrated; this one is to be empty.
async fn empty(url: &str) {
    use sqlx::{Connection, Executor};
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    connection.execute("drop schema public cascade; create schema public").await.unwrap();
}
