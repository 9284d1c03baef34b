//! Messages that go, with their deliveries and what is left of their attempts.
//!
//! A message with a delivery that is not over stays, however old it is; and so does one whose
//! last delivery was settled after its slice was made.

use model::retention::Day;
use model::{AppId, MessageId, Timestamp};
use serde_json::{Map, Value, json};
use sqlx::FromRow;

use super::attempts::archived;
use super::{Archived, STEP, Scope, Slice, SlicePage, put_bytes};
use crate::db::{Either, Tx, on};
use crate::{Result, Store, attempts, rows};

/// Messages looked at with one read.
const PAGE: i64 = 100;
/// Rows of one message that an archive takes.
const MAX_PER_MESSAGE: i64 = 100_000;

const OLDEST: &str = "select m.id from message m where m.id >= $1 and m.id < $2 and $3 = '' \
    order by m.id limit 1";
const OLDEST_OF_APP: &str = "select m.id from message m where m.id >= $1 and m.id < $2 \
    and m.app_id = $3 order by m.id limit 1";
macro_rules! page {
    ($whose:literal) => {
        concat!(
            "select m.id, not exists (select 1 from delivery d \
             where d.id >= 'dlv_' || substr(m.id, 5) and d.id < 'dlv_' || substr(m.id, 5) || '~' \
             and (d.state < 2 or d.settled_at >= $5)) as goes from message m where ",
            $whose,
            " and m.id > $1 and m.id >= $2 and m.id < $3 order by m.id limit $4"
        )
    };
}
const OF_DAY: &str = page!(
    "$6 = '' and not exists (select 1 from retention r \
     where r.app_id = m.app_id and r.message_days is not null)"
);
const OF_APP: &str = page!("m.app_id = $6");
const MESSAGE: &str = "select id, app_id, event_type, event_id, payload, content_type, channels, \
    tags, deliver_at, outcome, created_at, replay_of from message where id = $1";
const DELIVERIES: &str = "select id, app_id, endpoint_id, state, trigger, attempts, last_status, \
    last_error, parent_id, root_id, created_at, settled_at from delivery \
    where id >= $1 and id < $2 order by id limit $3";
const ATTEMPTS: &str = "select id, app_id, endpoint_id, number, trigger, at, duration_ms, \
    status_code, error, response_body, detail from attempt \
    where id >= $1 and id < $2 order by id limit $3";
const COUNT: &str = "select count(*) from delivery where id >= $1 and id < $2";
const DELETE_ATTEMPTS: &str = "delete from attempt where id >= $1 and id < $2";
const DELETE_DELIVERIES: &str = "delete from delivery where id >= $1 and id < $2";
// Again at the last moment: a delivery may have been made of it since it was read.
const DELETE_MESSAGE: &str = "delete from message where id = $1 and not exists (select 1 \
    from delivery d where d.id >= $2 and d.id < $3 and (d.state < 2 or d.settled_at >= $4))";

#[derive(FromRow)]
struct MessageRow {
    id: String,
    app_id: String,
    event_type: String,
    event_id: Option<String>,
    payload: Option<Vec<u8>>,
    content_type: Option<String>,
    channels: Option<String>,
    tags: Option<String>,
    deliver_at: Option<i64>,
    outcome: i16,
    created_at: i64,
    replay_of: Option<String>,
}

#[derive(FromRow)]
struct DeliveryRow {
    id: String,
    app_id: String,
    endpoint_id: String,
    state: i16,
    trigger: i16,
    attempts: i32,
    last_status: Option<i32>,
    last_error: Option<i16>,
    parent_id: Option<String>,
    root_id: Option<String>,
    created_at: i64,
    settled_at: Option<i64>,
}

impl MessageRow {
    fn archived(&self) -> Result<Archived> {
        let row = json!({
            "id": self.id,
            "appId": self.app_id,
            "eventType": self.event_type,
            "eventId": self.event_id,
            "contentType": self.content_type,
            "channels": rows::list(self.channels.as_deref())?,
            "tags": rows::list(self.tags.as_deref())?,
            "deliverAt": self.deliver_at,
            "outcome": model::message::Outcome::from_code(self.outcome).as_str(),
            "createdAt": self.created_at,
            "replayOf": self.replay_of,
        });
        let mut row: Map<String, Value> = row.as_object().cloned().unwrap_or_default();
        put_bytes(&mut row, "payload", self.payload.as_deref());
        Ok(Archived { table: "message", json: rows::to_json(&row)? })
    }
}

impl DeliveryRow {
    fn archived(&self) -> Result<Archived> {
        let row = json!({
            "id": self.id,
            "appId": self.app_id,
            "endpointId": self.endpoint_id,
            "state": model::delivery::State::from_code(self.state).as_str(),
            "trigger": self.trigger,
            "attempts": self.attempts,
            "lastStatus": self.last_status,
            "lastError": self.last_error.and_then(model::attempt::ErrorKind::from_code),
            "parentId": self.parent_id,
            "rootId": self.root_id,
            "createdAt": self.created_at,
            "settledAt": self.settled_at,
        });
        Ok(Archived { table: "delivery", json: rows::to_json(&row)? })
    }
}

impl Store {
    pub(super) async fn next_day_of_messages(
        &self,
        scope: &Scope,
        after: Option<&Slice>,
    ) -> Result<Option<Slice>> {
        let from = after.map_or(Timestamp(0), |slice| slice.day().plus(1).start());
        let sql = if scope.app.is_some() { OLDEST_OF_APP } else { OLDEST };
        let oldest: Option<String> = on!(self.db().reader(), c => sqlx::query_scalar(sql)
            .bind(MessageId::floor(from).as_str())
            .bind(MessageId::floor(scope.before.start()).as_str())
            .bind(scope.app.as_ref().map_or("", AppId::as_str))
            .fetch_optional(c).await)?;
        let Some(oldest) = oldest else { return Ok(None) };
        let day = Day::of(rows::id::<MessageId>(&oldest)?.moment());
        Ok(Some(Slice::Messages { app: scope.app, day, as_of: self.now() }))
    }

    pub(super) async fn read_messages(
        &self,
        app: Option<AppId>,
        day: Day,
        as_of: Timestamp,
        (after, with_rows): (&str, bool),
    ) -> Result<SlicePage> {
        let sql = if app.is_some() { OF_APP } else { OF_DAY };
        let found: Vec<(String, bool)> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(after)
            .bind(MessageId::floor(day.start()).as_str())
            .bind(MessageId::floor(day.plus(1).start()).as_str())
            .bind(PAGE)
            .bind(as_of.0)
            .bind(app.as_ref().map_or("", AppId::as_str))
            .fetch_all(c).await)?;
        let is_full = i64::try_from(found.len()).unwrap_or(PAGE) >= PAGE;
        let next = found.last().filter(|_| is_full).map(|(id, _)| id.clone());
        let keys: Vec<String> =
            found.into_iter().filter(|(_, goes)| *goes).map(|(id, _)| id).collect();
        let mut rows = Vec::new();
        if with_rows {
            for id in &keys {
                self.read_message(id, &mut rows).await?;
            }
        }
        Ok(SlicePage { keys, rows, next })
    }

    async fn read_message(&self, id: &str, into: &mut Vec<Archived>) -> Result<()> {
        let message: MessageId = rows::id(id)?;
        let row: Option<MessageRow> = on!(self.db().reader(), c => {
            sqlx::query_as(MESSAGE).bind(id).fetch_optional(c).await
        })?;
        if let Some(row) = row {
            into.push(row.archived()?);
        }
        let (low, high) = message.delivery_range();
        let deliveries: Vec<DeliveryRow> = on!(self.db().reader(), c => sqlx::query_as(DELIVERIES)
            .bind(low).bind(high).bind(MAX_PER_MESSAGE).fetch_all(c).await)?;
        for row in &deliveries {
            into.push(row.archived()?);
        }
        let (low, high) = message.attempt_range();
        let attempts: Vec<attempts::Row> = on!(self.db().reader(), c => sqlx::query_as(ATTEMPTS)
            .bind(low).bind(high).bind(MAX_PER_MESSAGE).fetch_all(c).await)?;
        for row in &attempts {
            into.push(archived(row)?);
        }
        Ok(())
    }

    /// As many messages in one transaction as have no more deliveries than a step has rows, at
    /// least one.
    pub(super) async fn delete_messages(&self, ids: &[String], as_of: Timestamp) -> Result<u64> {
        let mut deleted = 0;
        let mut left = ids;
        while !left.is_empty() {
            let mut tx = self.db().begin().await?;
            let mut room = STEP;
            while let Some((id, rest)) = left.split_first().filter(|_| room > 0) {
                room -= 1 + delete_message(&mut tx, &rows::id(id)?, as_of, &mut deleted).await?;
                left = rest;
            }
            tx.commit().await?;
        }
        Ok(deleted)
    }
}

/// Answers how many deliveries it had.
async fn delete_message(
    tx: &mut Tx,
    message: &MessageId,
    as_of: Timestamp,
    deleted: &mut u64,
) -> Result<i64> {
    let (low, high) = message.delivery_range();
    let count: i64 = on!(&mut *tx, c => sqlx::query_scalar(COUNT)
        .bind(&low).bind(&high).fetch_one(&mut **c).await)?;
    let done = on!(&mut *tx, c => sqlx::query(DELETE_MESSAGE)
        .bind(message.as_str()).bind(&low).bind(&high).bind(as_of.0)
        .execute(&mut **c).await.map(|done| done.rows_affected()))?;
    if done == 0 {
        return Ok(count);
    }
    *deleted += done;
    for (sql, (low, high)) in
        [(DELETE_ATTEMPTS, message.attempt_range()), (DELETE_DELIVERIES, (low, high))]
    {
        *deleted += match &mut *tx {
            Either::Sqlite(c) => {
                sqlx::query(sql).bind(low).bind(high).execute(&mut **c).await?.rows_affected()
            }
            Either::Postgres(c) => {
                sqlx::query(sql).bind(low).bind(high).execute(&mut **c).await?.rows_affected()
            }
        };
    }
    Ok(count)
}
