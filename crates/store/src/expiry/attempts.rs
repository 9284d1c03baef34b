//! Attempts that go row by row: all of SQLite's, those of apps with times of their own, and those
//! that came too late for the partition of their day.

use model::retention::Day;
use model::{AppId, AttemptId, EndpointId};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, FromRow};

use super::{Archived, STEP, Scope, Slice, SlicePage, put_bytes};
use crate::db::{Either, on};
use crate::partitions::{Partition, floor};
use crate::{Result, Store, attempts, rows};

const OLDEST: &str = "select id from attempt where id >= $1 and id < $2 order by id limit 1";
macro_rules! columns {
    () => {
        "a.id, a.app_id, a.endpoint_id, a.number, a.trigger, a.at, a.duration_ms, a.status_code, \
         a.error, case when $5 then a.response_body end as response_body, \
         case when $5 then a.detail else '' end as detail"
    };
}
const OF_DAY: &str = concat!(
    "select ",
    columns!(),
    ", a.at < $4 and not exists (select 1 from retention r \
     where r.app_id = a.app_id and r.attempt_days is not null) as goes \
     from attempt a where a.id > $1 and a.id >= $2 and a.id < $3 order by a.id limit $6"
);
const OF_ENDPOINT: &str = concat!(
    "select ",
    columns!(),
    ", a.app_id = $7 as goes from attempt a where a.endpoint_id = $1 \
     and (a.at, a.id) > ($2, $3) and a.at < $4 order by a.at, a.id limit $6"
);
const OLDEST_OF_ENDPOINT: &str = "select min(at) from attempt where endpoint_id = $1";
const NEXT_ENDPOINT: &str =
    "select id from endpoint where app_id = $1 and id > $2 order by id limit 1";
const DELETE_SQLITE: &str = "delete from attempt where id in (select value from json_each($1))";
const DELETE_POSTGRES: &str = "delete from attempt where id = any($1)";

#[derive(FromRow)]
struct Candidate {
    #[sqlx(flatten)]
    row: attempts::Row,
    goes: bool,
}

fn by_id(row: &attempts::Row) -> String {
    row.id.clone()
}

fn by_moment(row: &attempts::Row) -> String {
    format!("{:015}.{}", row.at, row.id)
}

pub(super) fn archived(row: &attempts::Row) -> Result<Archived> {
    let detail: Value = rows::json(&row.detail)?;
    let error = row.error.and_then(model::attempt::ErrorKind::from_code);
    let shown = json!({
        "id": row.id,
        "appId": row.app_id,
        "endpointId": row.endpoint_id,
        "number": row.number,
        "trigger": row.trigger,
        "at": row.at,
        "durationMs": row.duration_ms,
        "statusCode": row.status_code,
        "error": error,
        "detail": detail,
    });
    let mut shown: Map<String, Value> = shown.as_object().cloned().unwrap_or_default();
    put_bytes(&mut shown, "responseBody", row.response_body.as_deref());
    Ok(Archived { table: "attempt", json: rows::to_json(&shown)? })
}

fn page(
    found: &[Candidate],
    cursor: fn(&attempts::Row) -> String,
    with_rows: bool,
) -> Result<SlicePage> {
    let going = || found.iter().filter(|found| found.goes).map(|found| &found.row);
    let is_full = i64::try_from(found.len()).unwrap_or(STEP) >= STEP;
    Ok(SlicePage {
        keys: going().map(|row| row.id.clone()).collect(),
        rows: if with_rows { going().map(archived).collect::<Result<_>>()? } else { Vec::new() },
        next: found.last().filter(|_| is_full).map(|found| cursor(&found.row)),
    })
}

impl Store {
    pub(super) async fn next_day_of_attempts(
        &self,
        scope: &Scope,
        after: Option<&Slice>,
    ) -> Result<Option<Slice>> {
        let from = after.map_or_else(String::new, |slice| floor(slice.day().plus(1).start()));
        let oldest: Option<String> = on!(self.db().reader(), c => sqlx::query_scalar(OLDEST)
            .bind(from).bind(floor(scope.before.start())).fetch_optional(c).await)?;
        let Some(oldest) = oldest else { return Ok(None) };
        let day = Day::of(rows::id::<AttemptId>(&oldest)?.message_id().moment());
        Ok(Some(Slice::Attempts { day, before: scope.before }))
    }

    /// Endpoint by endpoint; of each the oldest day.
    pub(super) async fn next_endpoint_day(
        &self,
        app: AppId,
        scope: &Scope,
        after: Option<&Slice>,
    ) -> Result<Option<Slice>> {
        let mut endpoint = match after {
            Some(Slice::EndpointAttempts { endpoint, .. }) => Some(*endpoint),
            _ => self.next_endpoint(app, "").await?,
        };
        while let Some(found) = endpoint {
            let oldest: Option<i64> = on!(self.db().reader(), c => {
                sqlx::query_scalar(OLDEST_OF_ENDPOINT).bind(found.as_str()).fetch_one(c).await
            })?;
            let day = oldest.map(|at| Day::of(model::Timestamp(at)));
            let is_done = after.is_some_and(|slice| {
                matches!(slice, Slice::EndpointAttempts { endpoint, day: last, .. }
                    if *endpoint == found && day.is_some_and(|day| day <= *last))
            });
            if let Some(day) = day.filter(|day| *day < scope.before && !is_done) {
                return Ok(Some(Slice::EndpointAttempts { app, endpoint: found, day }));
            }
            endpoint = self.next_endpoint(app, found.as_str()).await?;
        }
        Ok(None)
    }

    async fn next_endpoint(&self, app: AppId, after: &str) -> Result<Option<EndpointId>> {
        let next: Option<String> = on!(self.db().reader(), c => sqlx::query_scalar(NEXT_ENDPOINT)
            .bind(app.as_str()).bind(after).fetch_optional(c).await)?;
        next.as_deref().map(rows::id).transpose()
    }

    pub(super) async fn read_attempts(
        &self,
        day: Day,
        before: Day,
        after: &str,
        with_rows: bool,
    ) -> Result<SlicePage> {
        let found: Vec<Candidate> = on!(self.db().reader(), c => sqlx::query_as(OF_DAY)
            .bind(after)
            .bind(floor(day.start()))
            .bind(floor(day.plus(1).start()))
            .bind(before.start().0)
            .bind(with_rows)
            .bind(STEP)
            .fetch_all(c).await)?;
        page(&found, by_id, with_rows)
    }

    pub(super) async fn read_endpoint_attempts(
        &self,
        (app, endpoint): (AppId, EndpointId),
        day: Day,
        after: &str,
        with_rows: bool,
    ) -> Result<SlicePage> {
        let (at, id) = after.split_once('.').unwrap_or_default();
        let found: Vec<Candidate> = on!(self.db().reader(), c => sqlx::query_as(OF_ENDPOINT)
            .bind(endpoint.as_str())
            .bind(at.parse().unwrap_or(i64::MIN))
            .bind(id)
            .bind(day.plus(1).start().0)
            .bind(with_rows)
            .bind(STEP)
            .bind(app.as_str())
            .fetch_all(c).await)?;
        page(&found, by_moment, with_rows)
    }

    pub(super) async fn delete_attempts(&self, ids: &[String]) -> Result<u64> {
        let mut tx = self.db().begin().await?;
        let deleted = match &mut tx {
            Either::Sqlite(c) => {
                let ids = rows::to_json(&ids)?;
                sqlx::query(DELETE_SQLITE).bind(ids).execute(&mut **c).await?.rows_affected()
            }
            Either::Postgres(c) => {
                sqlx::query(DELETE_POSTGRES).bind(ids).execute(&mut **c).await?.rows_affected()
            }
        };
        tx.commit().await?;
        Ok(deleted)
    }

    /// Some rows of a partition that was taken out, for an archive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read_partition(
        &self,
        partition: &Partition,
        after: Option<&str>,
    ) -> Result<SlicePage> {
        let Either::Postgres(pool) = self.db() else { return Ok(SlicePage::default()) };
        let sql = format!(
            "select a.id, a.app_id, a.endpoint_id, a.number, a.trigger, a.at, a.duration_ms, \
             a.status_code, a.error, a.response_body, a.detail, true as goes from {} a \
             where a.id > $1 order by a.id limit $2",
            partition.name
        );
        let found: Vec<Candidate> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(after.unwrap_or_default())
            .bind(STEP)
            .fetch_all(pool)
            .await?;
        page(&found, by_id, true)
    }
}
