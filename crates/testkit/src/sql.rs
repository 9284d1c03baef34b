//! SQL behind the store's back: what somebody does who can write to the database and no more.

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::TestDatabase;

impl TestDatabase {
    /// Runs one statement; answers how many rows it changed.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn execute(&self, sql: &str) -> u64 {
        let text = AssertSqlSafe(sql.to_owned());
        let done = if self.is_postgres() {
            let mut connection = PgConnection::connect(self.url()).await.expect("a connection");
            sqlx::query(text).execute(&mut connection).await.map(|done| done.rows_affected())
        } else {
            let mut connection = SqliteConnection::connect(self.url()).await.expect("a connection");
            sqlx::query(text).execute(&mut connection).await.map(|done| done.rows_affected())
        };
        done.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}
