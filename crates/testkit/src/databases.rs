//! A database for each test, of either kind, and [`on_both!`], which runs one body on both.
//!
//! SQLite gets a file in a temporary folder. PostgreSQL gets a database of its own, copied from a
//! template that the first test migrates while the others wait. A test without a PostgreSQL
//! server fails and says how to start one; it is never skipped.
//!
//! [`on_both!`]: crate::on_both

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::str::FromStr;

use model::Entropy;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use store::{Store, StoreOptions};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::test_store;

/// The URL of a PostgreSQL server, as a user who may create databases.
const SERVER: &str = "DOORBELL_TEST_POSTGRES_URL";
const TEMPLATE: &str = "doorbell_template";
/// Held shared by whoever copies the template, and alone by whoever migrates it.
const LOCK: &str = "select pg_advisory_lock(7236838213921631597)";
const LOCK_SHARED: &str = "select pg_advisory_lock_shared(7236838213921631597)";

/// An empty, migrated database that goes with this value.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sqlite { _folder: TempDir },
    Postgres { server: String, name: String },
}

/// What a test of [`on_both!`](crate::on_both) can ask for.
pub trait FromDatabase {
    fn from_database(database: TestDatabase) -> impl Future<Output = Self>;
}

impl FromDatabase for TestDatabase {
    async fn from_database(database: TestDatabase) -> Self {
        database
    }
}

impl TestDatabase {
    #[must_use]
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite:{}", folder.path().join("doorbell.db").display());
        Self { url, kind: Kind::Sqlite { _folder: folder } }
    }

    /// # Panics
    /// When there is no server.
    pub async fn postgres() -> Self {
        static MIGRATED: OnceCell<()> = OnceCell::const_new();
        let server = std::env::var(SERVER).unwrap_or_else(|_| {
            panic!("{SERVER} is not set: run `make test`, or `scripts/test-services cargo test`")
        });
        MIGRATED.get_or_init(|| migrate_template(&server)).await;
        let entropy = Entropy::system().expect("randomness");
        let name = format!("doorbell_test_{:016x}", entropy.next_u64());
        let mut connection = connect(&server).await;
        run(&mut connection, LOCK_SHARED.to_owned()).await;
        run(&mut connection, format!("create database {name} template {TEMPLATE}")).await;
        connection.close().await.expect("the server lets go");
        Self { url: url_of(&server, &name), kind: Kind::Postgres { server, name } }
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    #[must_use]
    pub const fn is_postgres(&self) -> bool {
        matches!(self.kind, Kind::Postgres { .. })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Kind::Postgres { server, name } = &self.kind else { return };
        let (server, name) = (server.clone(), name.clone());
        // Dropping happens inside a runtime, which cannot be blocked on: a thread has its own.
        let dropping = std::thread::spawn(move || {
            run_test(async {
                let mut connection = connect(&server).await;
                run(&mut connection, format!("drop database if exists {name} with (force)")).await;
            });
        });
        // A database that stays behind goes with its server.
        let _ = dropping.join();
    }
}

/// Runs a test on a runtime like the server's. What it leaves running is left behind: a writer
/// that nobody closed must not keep a failed test from ending.
///
/// # Panics
/// When the test does.
pub fn run_test(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test)));
    runtime.shutdown_background();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

async fn migrate_template(server: &str) {
    let mut connection = connect(server).await;
    run(&mut connection, LOCK.to_owned()).await;
    let exists: i64 = sqlx::query_scalar("select count(*) from pg_database where datname = $1")
        .bind(TEMPLATE)
        .fetch_one(&mut connection)
        .await
        .expect("an answer");
    if exists == 0 {
        run(&mut connection, format!("create database {TEMPLATE}")).await;
    }
    let options =
        StoreOptions { delivers: false, ..test_store::options(&url_of(server, TEMPLATE)) };
    let store = Store::open(options).await.expect("the template opens");
    store.migrate().await.expect("migrations");
    store.close().await;
    connection.close().await.expect("the server lets go");
}

async fn connect(server: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(server).expect("a URL of a PostgreSQL server");
    let connected = options.connect().await;
    connected.unwrap_or_else(|error| panic!("no PostgreSQL at {SERVER}: {error}"))
}

async fn run(connection: &mut PgConnection, sql: String) {
    let done = connection.execute(AssertSqlSafe(sql.clone())).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn url_of(server: &str, database: &str) -> String {
    let options = PgConnectOptions::from_str(server).expect("a URL of a PostgreSQL server");
    options.database(database).to_url_lossy().to_string()
}

/// Turns `async fn name(server: TestServer) { … }` into a module `name` with the tests `sqlite`
/// and `postgres`. The argument is anything that is made [`FromDatabase`].
#[macro_export]
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($subject:ident: $kind:ty) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not every body needs all of its file")]
            use super::*;
            use $crate::databases::{FromDatabase, TestDatabase, run_test};

            async fn body($subject: $kind) $body

            #[test]
            fn sqlite() {
                run_test(async {
                    body(<$kind>::from_database(TestDatabase::sqlite()).await).await;
                });
            }

            #[test]
            fn postgres() {
                run_test(async {
                    body(<$kind>::from_database(TestDatabase::postgres().await).await).await;
                });
            }
        }
    )+};
}
