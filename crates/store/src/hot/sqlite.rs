//! The hot statements for SQLite: one statement per table over `json_each`. Bytes travel beside
//! the JSON as one blob that the statement slices by offset and length, so that they stay exact.
//!
//! Twin of `postgres.rs`: same names, same order.

use std::collections::{BTreeMap, HashSet};

use model::delivery::State;
use model::{AppId, DeliveryId, EndpointId, Timestamp};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::claim::{Content, DueLane, Request, Taken};
use super::ingest::{Known, NewMessage};
use super::plan::Plan;
use super::settle::{HOUR_MS, Settlement};
use crate::routes::AppVersion;
use crate::rows;
use crate::{Result, StoreError};

const APP_VERSIONS: &str = "select id, uid, version, throttle_rate from app \
    where id in (select value from json_each($1)) or uid in (select value from json_each($1))";

pub(crate) async fn app_versions(
    c: &mut SqliteConnection,
    names: &[&str],
) -> Result<Vec<AppVersion>> {
    Ok(sqlx::query_as(APP_VERSIONS).bind(rows::to_json(&names)?).fetch_all(c).await?)
}

const FORGET_KEYS: &str = "update message set idempotency_key = null \
    where idempotency_key in (select value from json_each($1)) and created_at < $2";
const BY_IDEMPOTENCY_KEY: &str = "select id, app_id, event_type, event_id, idempotency_key, \
    payload, content_type, channels, tags, deliver_at, outcome, created_at from message \
    where idempotency_key in (select value from json_each($1))";

pub(crate) async fn by_idempotency_key(
    c: &mut SqliteConnection,
    keys: &[String],
    expired: Timestamp,
) -> Result<Vec<Known>> {
    let keys = rows::to_json(&keys)?;
    sqlx::query(FORGET_KEYS).bind(&keys).bind(expired.0).execute(&mut *c).await?;
    Ok(sqlx::query_as(BY_IDEMPOTENCY_KEY).bind(keys).fetch_all(c).await?)
}

const BY_EVENT_ID: &str = "select m.id, m.app_id, m.event_type, m.event_id, m.idempotency_key, \
    m.payload, m.content_type, m.channels, m.tags, m.deliver_at, m.outcome, m.created_at \
    from json_each($1) s join message m on m.app_id = s.value ->> 0 and m.event_id = s.value ->> 1";

pub(crate) async fn by_event_id(
    c: &mut SqliteConnection,
    event_ids: &[(String, &str)],
) -> Result<Vec<Known>> {
    Ok(sqlx::query_as(BY_EVENT_ID).bind(rows::to_json(&event_ids)?).fetch_all(c).await?)
}

const INSERT_MESSAGES: &str = "insert into message (id, app_id, event_type, event_id, \
    idempotency_key, payload, content_type, channels, tags, deliver_at, outcome, created_at, \
    payload_expires_at) select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
    substr($2, value ->> 5, value ->> 6), value ->> 7, value ->> 8, value ->> 9, value ->> 10, \
    value ->> 11, $3, value ->> 12 from json_each($1)";
const INSERT_DELIVERIES: &str = "insert into delivery (id, app_id, endpoint_id, state, due_at, \
    lease_owner, created_at) select value ->> 0, value ->> 1, value ->> 2, value ->> 3, \
    value ->> 4, iif(value ->> 3 = 1, $2, null), $3 from json_each($1)";
const LOWER_LANES: &str = "update lane set next_due_at = min(next_due_at, s.value ->> 1) \
    from json_each($1) s where lane.endpoint_id = s.value ->> 0";

pub(crate) async fn insert(
    c: &mut SqliteConnection,
    messages: &[&NewMessage],
    plan: &Plan,
    node: i64,
) -> Result<()> {
    let mut bytes = Blob::default();
    let mut lines = Vec::with_capacity(plan.messages.len());
    for planned in &plan.messages {
        let Some(message) = messages.get(planned.at) else { continue };
        let (start, length) = bytes.push(&message.payload);
        let expires = message.payload_retention_ms.map(|ms| plan.now.plus_ms(ms).0);
        lines.push((
            planned.id,
            planned.app_id,
            &message.event_type,
            &message.event_id,
            &planned.idempotency_key,
            start,
            length,
            &message.content_type,
            rows::to_list(&message.channels)?,
            rows::to_list(&message.tags)?,
            message.deliver_at,
            planned.outcome as i16,
            expires,
        ));
    }
    sqlx::query(INSERT_MESSAGES)
        .bind(rows::to_json(&lines)?)
        .bind(bytes.0)
        .bind(plan.now.0)
        .execute(&mut *c)
        .await?;
    if !plan.deliveries.is_empty() {
        let lines = flat_lines(&plan.deliveries, |delivery| {
            (
                delivery.id,
                delivery.app_id,
                delivery.endpoint_id,
                delivery.state.code(),
                delivery.due_at,
            )
        })?;
        sqlx::query(INSERT_DELIVERIES)
            .bind(lines)
            .bind(node)
            .bind(plan.now.0)
            .execute(&mut *c)
            .await?;
    }
    if !plan.due_by_lane.is_empty() {
        let lanes: Vec<_> = plan.due_by_lane.iter().collect();
        sqlx::query(LOWER_LANES).bind(rows::to_json(&lanes)?).execute(&mut *c).await?;
    }
    Ok(())
}

// `+delivery.state`: the primary key is the only index in play, never the lease index.
const MOVE: &str = "update delivery set state = s.value ->> 1, due_at = s.value ->> 2, \
    attempts = s.value ->> 3, last_status = coalesce(s.value ->> 4, last_status), \
    last_error = s.value ->> 5, settled_at = s.value ->> 6, lease_owner = null \
    from json_each($1) s where delivery.id = s.value ->> 0 and +delivery.state = 1 \
    and delivery.lease_owner = $2 and delivery.attempts = s.value ->> 7";
const INSERT_ATTEMPTS: &str = "insert into attempt (id, app_id, endpoint_id, number, trigger, \
    at, duration_ms, status_code, error, response_body, detail) select value ->> 0, value ->> 1, \
    value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, \
    substr($2, value ->> 9, value ->> 10), cast(substr($2, value ->> 11, value ->> 12) as text) \
    from json_each($1)";
// `where true` tells SQLite that the select ends before `on conflict`.
const ADD_USAGE: &str = "insert into usage (endpoint_id, hour, state, deliveries) \
    select value ->> 0, $2, value ->> 1, value ->> 2 from json_each($1) where true \
    on conflict do update set deliveries = deliveries + excluded.deliveries";
const LOWER_AND_HOLD_LANES: &str = "update lane set \
    next_due_at = min(next_due_at, s.value ->> 1), hold_until = max(hold_until, s.value ->> 2) \
    from json_each($1) s where lane.endpoint_id = s.value ->> 0";

const LOST: &str = "select s.value ->> 0 from json_each($1) s left join delivery d \
    on d.id = s.value ->> 0 and d.state = 1 and d.lease_owner = $2 and d.attempts = s.value ->> 1 \
    where d.id is null";

/// Answers the deliveries whose lease was lost. To be asked before [`settle`], and only when it
/// said that some were.
pub(crate) async fn lost(
    c: &mut SqliteConnection,
    settlements: &[&Settlement],
    node: i64,
) -> Result<HashSet<DeliveryId>> {
    let guards =
        flat_lines(settlements, |settlement| (settlement.delivery_id, settlement.attempts_before))?;
    let lost: Vec<(String,)> = sqlx::query_as(LOST).bind(guards).bind(node).fetch_all(c).await?;
    lost.iter().map(|(id,)| rows::id(id)).collect()
}

/// Settles all of them or fails with [`StoreError::LeaseLost`].
pub(crate) async fn settle(
    c: &mut SqliteConnection,
    settled: &[&Settlement],
    node: i64,
    now: Timestamp,
) -> Result<()> {
    let lines = flat_lines(settled, |settlement| {
        let state = settlement.state();
        let attempt = settlement.attempt.as_ref();
        (
            settlement.delivery_id,
            state.code(),
            settlement.due_at(now),
            settlement.attempts(),
            attempt.and_then(|attempt| attempt.status_code),
            attempt.and_then(|attempt| attempt.error).map(model::attempt::ErrorKind::code),
            state.is_final().then_some(now),
            settlement.attempts_before,
        )
    })?;
    let moved = sqlx::query(MOVE).bind(lines).bind(node).execute(&mut *c).await?.rows_affected();
    if usize::try_from(moved).ok() != Some(settled.len()) {
        return Err(StoreError::LeaseLost);
    }
    insert_attempts(c, settled).await?;
    let mut usage: BTreeMap<(EndpointId, State), u32> = BTreeMap::new();
    let mut lanes: BTreeMap<EndpointId, (Timestamp, Timestamp)> = BTreeMap::new();
    for settlement in settled {
        let state = settlement.state();
        if state.is_final() {
            *usage.entry((settlement.endpoint_id, state)).or_default() += 1;
        }
        super::settle::note_lane(&mut lanes, settlement, now);
    }
    if !usage.is_empty() {
        let lines = flat_lines(&usage, |((id, state), n)| (*id, state.code(), *n))?;
        let hour = now.0 - now.0.rem_euclid(HOUR_MS);
        sqlx::query(ADD_USAGE).bind(lines).bind(hour).execute(&mut *c).await?;
    }
    if !lanes.is_empty() {
        let lines = flat_lines(&lanes, |(id, (due, hold))| (*id, *due, *hold))?;
        sqlx::query(LOWER_AND_HOLD_LANES).bind(lines).execute(&mut *c).await?;
    }
    Ok(())
}

async fn insert_attempts(c: &mut SqliteConnection, settled: &[&Settlement]) -> Result<()> {
    let mut bytes = Blob::default();
    let mut lines = Vec::with_capacity(settled.len());
    for attempt in settled.iter().filter_map(|settlement| settlement.attempt.as_ref()) {
        let body = bytes.push(&attempt.response_body);
        let detail = bytes.push(rows::to_json(&attempt.detail)?.as_bytes());
        lines.push((attempt, body, detail));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let lines = flat_lines(&lines, |(attempt, body, detail)| {
        (
            attempt.id,
            attempt.app_id,
            attempt.endpoint_id,
            attempt.number,
            attempt.trigger.code(),
            attempt.at,
            attempt.duration_ms,
            attempt.status_code,
            attempt.error.map(model::attempt::ErrorKind::code),
            body.0,
            body.1,
            detail.0,
            detail.1,
        )
    })?;
    sqlx::query(INSERT_ATTEMPTS).bind(lines).bind(bytes.0).execute(c).await?;
    Ok(())
}

// Lanes of an app with a rate are held until the same moment; the one served last comes last.
const DUE_LANES: &str = "select endpoint_id, app_id from lane \
    where max(next_due_at, hold_until) <= $1 \
    and endpoint_id not in (select value from json_each($2)) \
    order by max(next_due_at, hold_until), next_due_at limit $3";

pub(crate) async fn due_lanes(
    c: &mut SqliteConnection,
    now: Timestamp,
    busy: &[EndpointId],
    limit: usize,
) -> Result<Vec<DueLane>> {
    Ok(sqlx::query_as(DUE_LANES)
        .bind(now.0)
        .bind(rows::to_json(&busy)?)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(c)
        .await?)
}

// `limit` takes no column: it reads as many as the largest wish, and the place in line cuts each
// endpoint's own.
const TAKE: &str = "update delivery set state = 1, due_at = $3, lease_owner = $4 where id in ( \
    select d.id from json_each($1) q cross join delivery d where d.id in ( \
    select id from (select id, row_number() over (order by due_at, id) as place from ( \
    select id, due_at from delivery where endpoint_id = q.value ->> 0 and state = 0 \
    and due_at <= $2 order by due_at, id limit $5)) where place <= q.value ->> 1)) \
    returning id, endpoint_id, attempts, trigger";

pub(crate) async fn take(c: &mut SqliteConnection, request: &Request<'_>) -> Result<Vec<Taken>> {
    Ok(sqlx::query_as(TAKE)
        .bind(rows::to_json(&request.limits)?)
        .bind(request.now.0)
        .bind(request.until.0)
        .bind(request.node)
        .bind(request.limits.iter().map(|(_, limit)| i64::from(*limit)).max().unwrap_or(0))
        .fetch_all(c)
        .await?)
}

const CONTENTS: &str = "select id, event_type, payload, content_type from message \
    where id in (select value from json_each($1))";

pub(crate) async fn contents(c: &mut SqliteConnection, ids: &[&str]) -> Result<Vec<Content>> {
    Ok(sqlx::query_as(CONTENTS).bind(rows::to_json(&ids)?).fetch_all(c).await?)
}

// A lane that was served goes to the end of the line, however old its backlog is.
const MOVE_LANES: &str = "update lane set hold_until = max(hold_until, s.value ->> 1), \
    next_due_at = max($2, coalesce((select min(due_at) from delivery \
    where endpoint_id = lane.endpoint_id and state = 0), 9223372036854775807)) \
    from json_each($1) s where lane.endpoint_id = s.value ->> 0";

pub(crate) async fn move_lanes(
    c: &mut SqliteConnection,
    now: Timestamp,
    lanes: &[(EndpointId, Timestamp)],
) -> Result<()> {
    sqlx::query(MOVE_LANES).bind(rows::to_json(&lanes)?).bind(now.0).execute(c).await?;
    Ok(())
}

const HOLD_APPS: &str = "update lane set hold_until = max(hold_until, s.value ->> 1) \
    from json_each($1) s where lane.app_id = s.value ->> 0";

pub(crate) async fn hold_apps(c: &mut SqliteConnection, apps: &[(AppId, Timestamp)]) -> Result<()> {
    if !apps.is_empty() {
        sqlx::query(HOLD_APPS).bind(rows::to_json(&apps)?).execute(c).await?;
    }
    Ok(())
}

const NEXT_DUE: &str = "select max(next_due_at, hold_until) from lane \
    where max(next_due_at, hold_until) < 9223372036854775807 \
    order by max(next_due_at, hold_until) limit 1";

pub(crate) async fn next_due(c: &mut SqliteConnection) -> Result<Option<Timestamp>> {
    let due: Option<(i64,)> = sqlx::query_as(NEXT_DUE).fetch_optional(c).await?;
    Ok(due.map(|(due,)| Timestamp(due)))
}

/// Bytes that travel beside the JSON. Positions count from 1, as `substr` does.
struct Blob(Vec<u8>);

impl Default for Blob {
    /// Never empty: of an empty blob `substr` makes null instead of nothing.
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Blob {
    fn push(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.0.len() + 1;
        self.0.extend_from_slice(bytes);
        (start, bytes.len())
    }
}

/// A JSON array of arrays, one line per item.
fn flat_lines<I, T, L: Serialize>(items: I, line: impl Fn(T) -> L) -> Result<String>
where
    I: IntoIterator<Item = T>,
{
    rows::to_json(&items.into_iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod plans;
