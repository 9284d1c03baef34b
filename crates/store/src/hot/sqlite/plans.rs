//! How SQLite goes about the hot statements: by a key or an index, whatever has piled up.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::*;

const SCHEMA: &str = include_str!("../../../migrations/sqlite/0001_start.sql");

/// What stands in for a list of names is short; everything else grows.
fn is_scan_of_a_table(step: &str) -> bool {
    step.starts_with("SCAN ") && !step.contains("VIRTUAL TABLE") && !step.contains("(subquery")
}

async fn plan(c: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let sql = AssertSqlSafe(format!("explain query plan {sql}"));
    let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(c).await.unwrap();
    steps.into_iter().map(|(.., step)| step).collect()
}

async fn database() -> SqliteConnection {
    let mut c = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql(SCHEMA).execute(&mut c).await.unwrap();
    c
}

#[tokio::test]
async fn no_hot_statement_looks_through_a_table() {
    let mut c = database().await;
    for sql in [
        APP_VERSIONS,
        FORGET_KEYS,
        BY_IDEMPOTENCY_KEY,
        BY_EVENT_ID,
        INSERT_MESSAGES,
        INSERT_DELIVERIES,
        LOWER_LANES,
        LOST,
        MOVE,
        INSERT_ATTEMPTS,
        ADD_USAGE,
        LOWER_AND_HOLD_LANES,
        DUE_LANES,
        TAKE,
        CONTENTS,
        MOVE_LANES,
        HOLD_APPS,
        NEXT_DUE,
    ] {
        let steps = plan(&mut c, sql).await;
        assert!(!steps.iter().any(|step| is_scan_of_a_table(step)), "{sql}\n{steps:#?}");
    }
}

#[tokio::test]
async fn each_finds_its_rows_by_the_index_made_for_it() {
    let mut c = database().await;
    for (sql, way) in [
        (MOVE, "SEARCH delivery USING PRIMARY KEY (id=?)"),
        (LOST, "SEARCH d USING PRIMARY KEY (id=?)"),
        (DUE_LANES, "INDEX lane_due (<expr><?)"),
        (NEXT_DUE, "INDEX lane_due (<expr><?)"),
        (TAKE, "USING COVERING INDEX delivery_queue (endpoint_id=? AND due_at<?)"),
        (MOVE_LANES, "USING COVERING INDEX delivery_queue (endpoint_id=?)"),
    ] {
        let steps = plan(&mut c, sql).await;
        assert!(steps.iter().any(|step| step.contains(way)), "{sql}\n{steps:#?}");
    }
}

#[tokio::test]
async fn a_scan_would_be_seen() {
    let mut c = database().await;
    let steps = plan(&mut c, "select * from delivery where attempts = 3").await;
    assert!(steps.iter().any(|step| is_scan_of_a_table(step)), "{steps:#?}");
}
