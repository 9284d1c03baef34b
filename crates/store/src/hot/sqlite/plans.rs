//! How SQLite goes about the hot statements: by a key or an index, whatever has piled up.

use super::*;

/// What the hot statements look at was made by these.
const SCHEMA: [&str; 2] = [
    include_str!("../../../migrations/sqlite/0001_start.sql"),
    include_str!("../../../migrations/sqlite/0006_breaker.sql"),
];
const WINDOWS: &str = include_str!("../../../migrations/sqlite/0007_window.sql");

/// What stands in for a list of names is short; everything else grows.
fn is_scan_of_a_table(step: &str) -> bool {
    step.starts_with("SCAN ") && !step.contains("VIRTUAL TABLE") && !step.contains("(subquery")
}

fn plan(c: &Connection, sql: &str) -> Vec<String> {
    let mut statement = c.prepare(&format!("explain query plan {sql}")).unwrap();
    // The values do not matter; without any the statement explains itself just as well.
    let rows = statement.raw_query().mapped(|row| row.get(3));
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

fn database() -> Connection {
    let c = Connection::open_in_memory().unwrap();
    for sql in SCHEMA {
        c.execute_batch(sql).unwrap();
    }
    c.execute_batch(WINDOWS).unwrap();
    c
}

#[test]
fn no_hot_statement_looks_through_a_table() {
    let c = database();
    for sql in [
        APP_VERSIONS,
        FORGET_KEY,
        BY_IDEMPOTENCY_KEY,
        BY_EVENT_ID,
        INSERT_MESSAGE,
        INSERT_DELIVERY,
        LOWER_LANE,
        MOVE,
        INSERT_ATTEMPT,
        ADD_USAGE,
        LOWER_AND_HOLD_LANE,
        DUE_LANES,
        TOUCH_APP,
        TAKE,
        CONTENT,
        MOVE_LANE,
        HOLD_APP,
        NEXT_DUE,
    ] {
        let steps = plan(&c, sql);
        assert!(!steps.iter().any(|step| is_scan_of_a_table(step)), "{sql}\n{steps:#?}");
    }
}

#[test]
fn each_finds_its_rows_by_the_index_made_for_it() {
    let c = database();
    for (sql, way) in [
        (MOVE, "SEARCH delivery USING PRIMARY KEY (id=?)"),
        (DUE_LANES, "INDEX lane_due (<expr><?)"),
        (NEXT_DUE, "INDEX lane_due (<expr><?)"),
        (TAKE, "USING COVERING INDEX delivery_queue (endpoint_id=? AND due_at<?)"),
        (MOVE_LANE, "USING COVERING INDEX delivery_queue (endpoint_id=?)"),
    ] {
        let steps = plan(&c, sql);
        assert!(steps.iter().any(|step| step.contains(way)), "{sql}\n{steps:#?}");
    }
}

#[test]
fn a_scan_would_be_seen() {
    let c = database();
    let steps = plan(&c, "select * from delivery where attempts = 3");
    assert!(steps.iter().any(|step| is_scan_of_a_table(step)), "{steps:#?}");
}
