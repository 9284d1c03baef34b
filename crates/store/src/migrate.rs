//! Migrations: numbered, forward only, embedded, applied one transaction each.
//!
//! Old processes run against the new schema while a cluster is upgraded, so every change comes
//! in three steps over releases: expand (add), move (fill), contract (remove). On PostgreSQL an
//! advisory lock lets one process migrate while the others wait; on SQLite the write lock does.

use crate::StoreError;
use crate::db::{Db, Either, on};

struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "start",
        sqlite: include_str!("../migrations/sqlite/0001_start.sql"),
        postgres: include_str!("../migrations/postgres/0001_start.sql"),
    },
    Migration {
        version: 2,
        name: "keys",
        sqlite: include_str!("../migrations/sqlite/0002_keys.sql"),
        postgres: include_str!("../migrations/postgres/0002_keys.sql"),
    },
    Migration {
        version: 3,
        name: "access",
        sqlite: include_str!("../migrations/sqlite/0003_access.sql"),
        postgres: include_str!("../migrations/postgres/0003_access.sql"),
    },
    Migration {
        version: 4,
        name: "audit",
        sqlite: include_str!("../migrations/sqlite/0004_audit.sql"),
        postgres: include_str!("../migrations/postgres/0004_audit.sql"),
    },
    Migration {
        version: 5,
        name: "key tokens",
        sqlite: include_str!("../migrations/sqlite/0005_key_tokens.sql"),
        postgres: include_str!("../migrations/postgres/0005_key_tokens.sql"),
    },
    Migration {
        version: 6,
        name: "breaker",
        sqlite: include_str!("../migrations/sqlite/0006_breaker.sql"),
        postgres: include_str!("../migrations/postgres/0006_breaker.sql"),
    },
    Migration {
        version: 7,
        name: "window",
        sqlite: include_str!("../migrations/sqlite/0007_window.sql"),
        postgres: include_str!("../migrations/postgres/0007_window.sql"),
    },
    Migration {
        version: 8,
        name: "secret",
        sqlite: include_str!("../migrations/sqlite/0008_secret.sql"),
        postgres: include_str!("../migrations/postgres/0008_secret.sql"),
    },
    Migration {
        version: 9,
        name: "replay",
        sqlite: include_str!("../migrations/sqlite/0009_replay.sql"),
        postgres: include_str!("../migrations/postgres/0009_replay.sql"),
    },
    Migration {
        version: 10,
        name: "retention",
        sqlite: include_str!("../migrations/sqlite/0010_retention.sql"),
        postgres: include_str!("../migrations/postgres/0010_retention.sql"),
    },
    Migration {
        version: 11,
        name: "failing",
        sqlite: include_str!("../migrations/sqlite/0011_failing.sql"),
        postgres: include_str!("../migrations/postgres/0011_failing.sql"),
    },
    Migration {
        version: 12,
        name: "oidc",
        sqlite: include_str!("../migrations/sqlite/0012_oidc.sql"),
        postgres: include_str!("../migrations/postgres/0012_oidc.sql"),
    },
];

const CREATE_LEDGER: &str = "create table if not exists migration \
    (version bigint primary key, name text not null, applied_at bigint not null)";
const LEDGER_EXISTS_SQLITE: &str =
    "select count(*) from sqlite_master where type = 'table' and name = 'migration'";
const LEDGER_EXISTS_POSTGRES: &str =
    "select count(*) from pg_catalog.pg_class where oid = to_regclass('migration')";
const APPLIED: &str = "select coalesce(max(version), 0) from migration";
const RECORD: &str = "insert into migration (version, name, applied_at) values ($1, $2, $3)";
/// "doorbell" as a number: the advisory lock of migrations.
const LOCK: &str = "select pg_advisory_xact_lock(7236838213921631596)";

/// Applies what is pending and answers how many that were.
pub(crate) async fn migrate(db: &Db, now_ms: i64) -> Result<usize, StoreError> {
    let mut applied = 0;
    while apply_next(db, now_ms).await? {
        applied += 1;
    }
    Ok(applied)
}

async fn apply_next(db: &Db, now_ms: i64) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    if let Either::Postgres(tx) = &mut tx {
        sqlx::query(LOCK).execute(&mut **tx).await?;
    }
    on!(&mut tx, c => sqlx::query(CREATE_LEDGER).execute(&mut **c).await.map(drop))?;
    let version: i64 = on!(&mut tx, c => sqlx::query_scalar(APPLIED).fetch_one(&mut **c).await)?;
    refuse_newer(version)?;
    let Some(next) = MIGRATIONS.iter().find(|migration| migration.version > version) else {
        return Ok(false);
    };
    match &mut tx {
        Either::Sqlite(c) => sqlx::raw_sql(next.sqlite).execute(&mut **c).await.map(drop)?,
        Either::Postgres(c) => sqlx::raw_sql(next.postgres).execute(&mut **c).await.map(drop)?,
    }
    on!(&mut tx, c => sqlx::query(RECORD)
        .bind(next.version).bind(next.name).bind(now_ms)
        .execute(&mut **c).await.map(drop))?;
    tx.commit().await?;
    tracing::info!(version = next.version, name = next.name, "migration applied");
    Ok(true)
}

/// Fails unless the schema is exactly the one this binary knows.
pub(crate) async fn check(db: &Db) -> Result<(), StoreError> {
    let ledger: i64 = match db.reader() {
        Either::Sqlite(c) => sqlx::query_scalar(LEDGER_EXISTS_SQLITE).fetch_one(c).await?,
        Either::Postgres(c) => sqlx::query_scalar(LEDGER_EXISTS_POSTGRES).fetch_one(c).await?,
    };
    let version: i64 = if ledger == 0 {
        0
    } else {
        on!(db.reader(), c => sqlx::query_scalar(APPLIED).fetch_one(c).await)?
    };
    refuse_newer(version)?;
    let newest = newest();
    if version < newest {
        return Err(StoreError::SchemaBehind { version, newest });
    }
    Ok(())
}

fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn refuse_newer(version: i64) -> Result<(), StoreError> {
    let newest = newest();
    if version > newest {
        return Err(StoreError::SchemaAhead { version, newest });
    }
    Ok(())
}
