//! The hot statements for SQLite, on a connection of the writer's own thread: no hop to another
//! thread and back, no row made into text and parsed again. Each is prepared once and run row by
//! row inside the writer's transaction.
//!
//! Twin of `postgres.rs`: same names, same order.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

use model::attempt::{Attempt, ErrorKind};
use model::delivery::State;
use model::{AppId, DeliveryId, EndpointId, Timestamp};
use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::claim::{Content, DueLane, LaneMove, Request, Taken};
use super::ingest::{Known, NewMessage};
use super::plan::{Plan, PlannedDelivery, PlannedMessage};
use super::settle::{HOUR_MS, Job, Settlement};
use crate::routes::AppVersion;
use crate::{Result, rows};

/// Statements that stay prepared: all of this file, and some room.
const PREPARED_STATEMENTS: usize = 32;

/// Opens the connection that only the writer uses.
pub(crate) fn open(file: &Path, busy_timeout: Duration) -> Result<Connection> {
    let c = Connection::open(file)?;
    c.busy_timeout(busy_timeout)?;
    // Checkpoints have a task of their own.
    c.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = off; \
         pragma temp_store = memory; pragma wal_autocheckpoint = 0;",
    )?;
    c.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    Ok(c)
}

/// An id or a moment as a value of a statement.
struct Sql<T>(T);

macro_rules! text {
    ($($id:ty),*) => {$(
        impl ToSql for Sql<&$id> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.as_str().into())
            }
        }
    )*};
}
text!(AppId, EndpointId, DeliveryId, model::MessageId, model::AttemptId);

impl ToSql for Sql<Timestamp> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.0.into())
    }
}

const APP_VERSIONS: &str = "select id, uid, \
    version + (select version from instance_version where name = 'routes'), throttle_rate \
    from app where id = ?1 or uid = ?1";

pub(crate) fn app_versions(c: &Connection, names: &[&str]) -> Result<Vec<AppVersion>> {
    let mut statement = c.prepare_cached(APP_VERSIONS)?;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let rows = statement.query_map([name], |row| {
            Ok(AppVersion {
                id: row.get(0)?,
                uid: row.get(1)?,
                version: row.get(2)?,
                throttle_rate: row.get(3)?,
            })
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}

const FORGET_KEY: &str = "update message set idempotency_key = null \
    where idempotency_key = ?1 and created_at < ?2";
const BY_IDEMPOTENCY_KEY: &str = "select id, app_id, event_type, event_id, idempotency_key, \
    payload, content_type, channels, tags, deliver_at, outcome, created_at from message \
    where idempotency_key = ?1";

pub(crate) fn by_idempotency_key(
    c: &Connection,
    keys: &[String],
    expired: Timestamp,
) -> Result<Vec<Known>> {
    let mut find = c.prepare_cached(BY_IDEMPOTENCY_KEY)?;
    let mut found = Vec::new();
    for key in keys {
        let Some(known) = find.query_row([key], known).optional()? else { continue };
        if Timestamp(known.created_at) < expired {
            c.prepare_cached(FORGET_KEY)?.execute(params![key, expired.0])?;
        } else {
            found.push(known);
        }
    }
    Ok(found)
}

const BY_EVENT_ID: &str = "select id, app_id, event_type, event_id, idempotency_key, payload, \
    content_type, channels, tags, deliver_at, outcome, created_at from message \
    where app_id = ?1 and event_id = ?2";

pub(crate) fn by_event_id(c: &Connection, event_ids: &[(String, &str)]) -> Result<Vec<Known>> {
    let mut find = c.prepare_cached(BY_EVENT_ID)?;
    let mut found = Vec::new();
    for (app, event_id) in event_ids {
        found.extend(find.query_row(params![app, event_id], known).optional()?);
    }
    Ok(found)
}

fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    Ok(Known {
        id: row.get(0)?,
        app_id: row.get(1)?,
        event_type: row.get(2)?,
        event_id: row.get(3)?,
        idempotency_key: row.get(4)?,
        payload: row.get(5)?,
        content_type: row.get(6)?,
        channels: row.get(7)?,
        tags: row.get(8)?,
        deliver_at: row.get(9)?,
        outcome: row.get(10)?,
        created_at: row.get(11)?,
    })
}

const INSERT_MESSAGE: &str = "insert into message (id, app_id, event_type, event_id, \
    idempotency_key, payload, content_type, channels, tags, deliver_at, outcome, created_at, \
    payload_expires_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const INSERT_DELIVERY: &str = "insert into delivery (id, app_id, endpoint_id, state, due_at, \
    lease_owner, created_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const LOWER_LANE: &str =
    "update lane set next_due_at = min(next_due_at, ?2) where endpoint_id = ?1";

pub(crate) fn insert(
    c: &Connection,
    messages: &[&NewMessage],
    plan: &Plan,
    node: i64,
) -> Result<()> {
    let mut statement = c.prepare_cached(INSERT_MESSAGE)?;
    for planned in &plan.messages {
        let Some(message) = messages.get(planned.at) else { continue };
        insert_message(&mut statement, message, planned, plan.now)?;
    }
    let mut statement = c.prepare_cached(INSERT_DELIVERY)?;
    for delivery in &plan.deliveries {
        insert_delivery(&mut statement, delivery, node, plan.now)?;
    }
    let mut statement = c.prepare_cached(LOWER_LANE)?;
    for (endpoint, due) in &plan.due_by_lane {
        statement.execute(params![Sql(endpoint), Sql(*due)])?;
    }
    Ok(())
}

fn insert_message(
    statement: &mut rusqlite::Statement<'_>,
    message: &NewMessage,
    planned: &PlannedMessage,
    now: Timestamp,
) -> Result<()> {
    statement.execute(params![
        Sql(&planned.id),
        Sql(&planned.app_id),
        message.event_type,
        message.event_id,
        planned.idempotency_key,
        message.payload.as_ref(),
        message.content_type,
        rows::to_list(&message.channels)?,
        rows::to_list(&message.tags)?,
        message.deliver_at.map(Sql),
        planned.outcome as i16,
        Sql(now),
        message.payload_retention_ms.map(|ms| Sql(now.plus_ms(ms))),
    ])?;
    Ok(())
}

fn insert_delivery(
    statement: &mut rusqlite::Statement<'_>,
    delivery: &PlannedDelivery,
    node: i64,
    now: Timestamp,
) -> Result<()> {
    statement.execute(params![
        Sql(&delivery.id),
        Sql(&delivery.app_id),
        Sql(&delivery.endpoint_id),
        delivery.state.code(),
        Sql(delivery.due_at),
        (delivery.state == State::Leased).then_some(node),
        Sql(now),
    ])?;
    Ok(())
}

// `+state`: the primary key is the only index in play, never the lease index.
const MOVE: &str = "update delivery set state = ?2, due_at = ?3, attempts = ?4, \
    last_status = coalesce(?5, last_status), last_error = ?6, settled_at = ?7, \
    lease_owner = null where id = ?1 and +state = 1 and lease_owner = ?8 and attempts = ?9";
const INSERT_ATTEMPT: &str = "insert into attempt (id, app_id, endpoint_id, number, trigger, at, \
    duration_ms, status_code, error, response_body, detail) \
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const ADD_USAGE: &str = "insert into usage (endpoint_id, hour, state, deliveries) \
    values (?1, ?2, ?3, ?4) on conflict do update set deliveries = deliveries + excluded.deliveries";
const LOWER_AND_HOLD_LANE: &str = "update lane set next_due_at = min(next_due_at, ?2), \
    hold_until = max(hold_until, ?3) where endpoint_id = ?1";

/// Settles those that still hold their lease; answers the others.
pub(crate) fn settle(
    c: &Connection,
    jobs: &[Job],
    node: i64,
    now: Timestamp,
) -> Result<HashSet<DeliveryId>> {
    let mut lost = HashSet::new();
    let mut usage: BTreeMap<(EndpointId, State), u32> = BTreeMap::new();
    let mut lanes: BTreeMap<EndpointId, (Timestamp, Timestamp)> = BTreeMap::new();
    let mut advance = c.prepare_cached(MOVE)?;
    let mut record = c.prepare_cached(INSERT_ATTEMPT)?;
    for Job { settlement, detail, .. } in jobs {
        if !advance_delivery(&mut advance, settlement, node, now)? {
            lost.insert(settlement.delivery_id);
            continue;
        }
        if let Some(attempt) = &settlement.attempt {
            insert_attempt(&mut record, attempt, detail.as_deref().unwrap_or_default())?;
        }
        let state = settlement.state();
        if state.is_final() {
            *usage.entry((settlement.endpoint_id, state)).or_default() += 1;
        }
        super::settle::note_lane(&mut lanes, settlement, now);
    }
    let mut statement = c.prepare_cached(ADD_USAGE)?;
    let hour = now.0 - now.0.rem_euclid(HOUR_MS);
    for ((endpoint, state), deliveries) in &usage {
        statement.execute(params![Sql(endpoint), hour, state.code(), deliveries])?;
    }
    let mut statement = c.prepare_cached(LOWER_AND_HOLD_LANE)?;
    for (endpoint, (due, hold)) in &lanes {
        statement.execute(params![Sql(endpoint), Sql(*due), Sql(*hold)])?;
    }
    Ok(lost)
}

fn advance_delivery(
    statement: &mut rusqlite::Statement<'_>,
    settlement: &Settlement,
    node: i64,
    now: Timestamp,
) -> Result<bool> {
    let state = settlement.state();
    let attempt = settlement.attempt.as_ref();
    let moved = statement.execute(params![
        Sql(&settlement.delivery_id),
        state.code(),
        Sql(settlement.due_at(now)),
        settlement.attempts(),
        attempt.and_then(|attempt| attempt.status_code),
        attempt.and_then(|attempt| attempt.error).map(ErrorKind::code),
        state.is_final().then_some(Sql(now)),
        node,
        settlement.attempts_before,
    ])?;
    Ok(moved == 1)
}

fn insert_attempt(
    statement: &mut rusqlite::Statement<'_>,
    attempt: &Attempt,
    detail: &str,
) -> Result<()> {
    statement.execute(params![
        Sql(&attempt.id),
        Sql(&attempt.app_id),
        Sql(&attempt.endpoint_id),
        attempt.number,
        attempt.trigger.code(),
        Sql(attempt.at),
        attempt.duration_ms,
        attempt.status_code,
        attempt.error.map(ErrorKind::code),
        attempt.response_body,
        detail,
    ])?;
    Ok(())
}

// Lanes of an app with a rate are held until the same moment; the one served last comes last.
const DUE_LANES: &str = "select endpoint_id, app_id, drains from lane \
    where max(next_due_at, hold_until) <= ?1 order by max(next_due_at, hold_until), next_due_at";

pub(crate) fn due_lanes(
    c: &Connection,
    now: Timestamp,
    busy: &[EndpointId],
    limit: usize,
) -> Result<Vec<DueLane>> {
    let busy: HashSet<&str> = busy.iter().map(EndpointId::as_str).collect();
    let mut statement = c.prepare_cached(DUE_LANES)?;
    let mut rows = statement.query([now.0])?;
    let mut due = Vec::new();
    while due.len() < limit
        && let Some(row) = rows.next()?
    {
        let lane = DueLane { endpoint_id: row.get(0)?, app_id: row.get(1)?, drains: row.get(2)? };
        if !busy.contains(lane.endpoint_id.as_str()) {
            due.push(lane);
        }
    }
    Ok(due)
}

const TAKE: &str = "update delivery set state = 1, due_at = ?3, lease_owner = ?4 where id in ( \
    select id from delivery where endpoint_id = ?1 and state = 0 and due_at <= ?2 \
    order by due_at, id limit ?5) returning id, endpoint_id, attempts, trigger";

pub(crate) fn take(c: &Connection, request: &Request<'_>) -> Result<Vec<Taken>> {
    let mut statement = c.prepare_cached(TAKE)?;
    let mut taken = Vec::new();
    for (endpoint, limit) in request.limits {
        let values =
            params![Sql(endpoint), Sql(request.now), Sql(request.until), request.node, limit];
        let rows = statement.query_map(values, |row| {
            Ok(Taken {
                id: row.get(0)?,
                endpoint_id: row.get(1)?,
                attempts: row.get(2)?,
                trigger: row.get(3)?,
            })
        })?;
        for row in rows {
            taken.push(row?);
        }
    }
    Ok(taken)
}

const CONTENT: &str = "select id, event_type, payload, content_type from message where id = ?1";

pub(crate) fn contents(c: &Connection, ids: &[&str]) -> Result<Vec<Content>> {
    let mut statement = c.prepare_cached(CONTENT)?;
    let mut contents = Vec::with_capacity(ids.len());
    for id in ids {
        let content = statement.query_row([id], |row| {
            Ok(Content {
                id: row.get(0)?,
                event_type: row.get(1)?,
                payload: row.get(2)?,
                content_type: row.get(3)?,
            })
        });
        contents.extend(content.optional()?);
    }
    Ok(contents)
}

// A lane that was served goes to the end of the line, however old its backlog is.
const MOVE_LANE: &str = "update lane set hold_until = max(hold_until, ?2), drains = case \
    when ?4 > 1 and ?4 < coalesce((select min(due_at) from delivery \
    where endpoint_id = lane.endpoint_id and state = 0), 9223372036854775807) then 0 else ?4 end, \
    next_due_at = max(?3, coalesce((select min(due_at) from delivery \
    where endpoint_id = lane.endpoint_id and state = 0), 9223372036854775807)) \
    where endpoint_id = ?1";

pub(crate) fn move_lanes(c: &Connection, now: Timestamp, lanes: &[LaneMove]) -> Result<()> {
    let mut statement = c.prepare_cached(MOVE_LANE)?;
    for lane in lanes {
        let values = params![Sql(&lane.endpoint_id), Sql(lane.hold_until), Sql(now), lane.drains];
        statement.execute(values)?;
    }
    Ok(())
}

const HOLD_APP: &str = "update lane set hold_until = max(hold_until, ?2) where app_id = ?1";

pub(crate) fn hold_apps(c: &Connection, apps: &[(AppId, Timestamp)]) -> Result<()> {
    let mut statement = c.prepare_cached(HOLD_APP)?;
    for (app, hold_until) in apps {
        statement.execute(params![Sql(app), Sql(*hold_until)])?;
    }
    Ok(())
}

const TOUCH_APP: &str = "update app set version = version + 1 where id = ?1";

/// Tells every route cache that something of these apps changed.
pub(crate) fn touch_apps(c: &Connection, apps: &[AppId]) -> Result<()> {
    for app in apps {
        c.prepare_cached(TOUCH_APP)?.execute([Sql(app)])?;
    }
    Ok(())
}

const NEXT_DUE: &str = "select max(next_due_at, hold_until) from lane \
    where max(next_due_at, hold_until) < 9223372036854775807 \
    order by max(next_due_at, hold_until) limit 1";

pub(crate) fn next_due(c: &Connection) -> Result<Option<Timestamp>> {
    let due = c.prepare_cached(NEXT_DUE)?.query_row([], |row| row.get(0)).optional()?;
    Ok(due.map(Timestamp))
}

#[cfg(test)]
mod plans;
