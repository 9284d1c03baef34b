//! A day of old attempts, written straight into the database.

use rusqlite::{Connection, params};

use crate::options::Database;
use crate::{Outcome, postgres};

/// Rows of one statement on SQLite: the server is to come in between.
const CHUNK: u64 = 50_000;

pub struct Attempts<'a> {
    pub app: &'a str,
    pub endpoint: &'a str,
    /// The ids of the day are in between.
    pub low: &'a str,
    pub high: &'a str,
    pub day: &'a str,
    pub at: i64,
    pub count: u64,
}

/// In bytes, with indexes.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub database: u64,
    pub attempts: u64,
}

/// What a real one holds.
const DETAIL: &str =
    r#"{"url":"https://receiver.example/hooks","responseHeaders":{"content-type":"text/plain"}}"#;
const BODY: &str = "thank you";

impl Attempts<'_> {
    /// What all ids of that moment begin with.
    fn start(&self) -> &str {
        self.low.get(..14).unwrap_or(self.low)
    }
}

pub fn write(database: Database, url: &str, attempts: &Attempts<'_>) -> Outcome<()> {
    match database {
        Database::Sqlite => write_sqlite(url, attempts),
        Database::Postgres => write_postgres(url, attempts),
    }
}

const INSERT: &str = "with recursive n (n) as (select ?1 union all select n + 1 from n where n < ?2) \
    insert into attempt (id, app_id, endpoint_id, number, trigger, at, duration_ms, status_code, \
    error, response_body, detail) select ?3 || printf('%029d', n), ?4, ?5, 1, 0, ?6 + n, 12, 200, \
    null, cast(?7 as blob), ?8 from n";

fn write_sqlite(url: &str, of: &Attempts<'_>) -> Outcome<()> {
    let connection = open(url)?;
    for first in (0..of.count).step_by(usize::try_from(CHUNK)?) {
        let last = (first + CHUNK).min(of.count) - 1;
        let (first, last) = (i64::try_from(first)?, i64::try_from(last)?);
        connection.execute(
            INSERT,
            params![first, last, of.start(), of.app, of.endpoint, of.at, BODY, DETAIL],
        )?;
    }
    Ok(())
}

/// With the partition that housekeeping would have made in time.
fn write_postgres(url: &str, of: &Attempts<'_>) -> Outcome<()> {
    let name = format!("attempt_{}", of.day.replace('-', ""));
    let script = format!(
        "create table {name} partition of attempt for values from ('{}') to ('{}');\n\
         insert into attempt select '{}' || lpad(n::text, 29, '0'), '{}', '{}', 1, 0, {} + n, 12, \
         200, null, '{BODY}'::bytea, '{DETAIL}' from generate_series(1, {}) n;\n\
         analyze {name};\n",
        of.low,
        of.high,
        of.start(),
        of.app,
        of.endpoint,
        of.at,
        of.count
    );
    postgres::run(url, &script).map(drop)
}

pub fn sizes(database: Database, url: &str) -> Outcome<Sizes> {
    if database == Database::Postgres {
        let size = |sql: &str| -> Outcome<u64> { Ok(postgres::run(url, sql)?.trim().parse()?) };
        return Ok(Sizes {
            database: size("select pg_database_size(current_database());\n")?,
            attempts: size(
                "select sum(pg_total_relation_size(oid))::bigint from pg_class \
                 where relkind = 'r' and relname like 'attempt%';\n",
            )?,
        });
    }
    let connection = open(url)?;
    let size = |sql: &str| -> Outcome<u64> {
        Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?.try_into()?)
    };
    Ok(Sizes {
        database: size(
            "select page_count * page_size from pragma_page_count(), pragma_page_size()",
        )?,
        attempts: size(
            "select coalesce(sum(pgsize), 0) from dbstat \
             where name in (select name from sqlite_master where tbl_name = 'attempt')",
        )?,
    })
}

fn open(url: &str) -> Outcome<Connection> {
    let connection = Connection::open(url.trim_start_matches("sqlite:"))?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    Ok(connection)
}
