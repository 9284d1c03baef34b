//! The hot statements for PostgreSQL: `unnest` over one array per column. Data-modifying CTEs
//! make each batch one statement that commits by itself: one round trip, one log flush.
//!
//! Twin of `sqlite.rs`: same names, same order.

use std::collections::{BTreeMap, HashSet};

use model::attempt::ErrorKind;
use model::{AppId, DeliveryId, EndpointId, MessageId, Timestamp};
use sqlx::PgConnection;

use super::claim::{Content, DueLane, LaneMove, Request, Taken};
use super::ingest::{Known, NewMessage};
use super::plan::Plan;
use super::settle::{HOUR_MS, Job, Settlement};
use crate::Result;
use crate::routes::AppVersion;
use crate::rows;

const APP_VERSIONS: &str = "select id, uid, \
    version + (select version from instance_version where name = 'routes') as version, \
    throttle_rate from app where id = any($1) or uid = any($1)";

pub(crate) async fn app_versions(c: &mut PgConnection, names: &[&str]) -> Result<Vec<AppVersion>> {
    Ok(sqlx::query_as(APP_VERSIONS).bind(names).fetch_all(c).await?)
}

const FORGET_KEYS: &str = "update message set idempotency_key = null \
    where idempotency_key = any($1) and created_at < $2";
const BY_IDEMPOTENCY_KEY: &str = "select id, app_id, event_type, event_id, idempotency_key, \
    payload, content_type, channels, tags, deliver_at, outcome, created_at from message \
    where idempotency_key = any($1)";

pub(crate) async fn by_idempotency_key(
    c: &mut PgConnection,
    keys: &[String],
    expired: Timestamp,
) -> Result<Vec<Known>> {
    sqlx::query(FORGET_KEYS).bind(keys).bind(expired.0).execute(&mut *c).await?;
    Ok(sqlx::query_as(BY_IDEMPOTENCY_KEY).bind(keys).fetch_all(c).await?)
}

const BY_EVENT_ID: &str = "select m.id, m.app_id, m.event_type, m.event_id, m.idempotency_key, \
    m.payload, m.content_type, m.channels, m.tags, m.deliver_at, m.outcome, m.created_at \
    from unnest($1::text[], $2::text[]) s (app_id, event_id) \
    join message m on m.app_id = s.app_id and m.event_id = s.event_id";

pub(crate) async fn by_event_id(
    c: &mut PgConnection,
    event_ids: &[(String, &str)],
) -> Result<Vec<Known>> {
    let (apps, ids): (Vec<&str>, Vec<&str>) =
        event_ids.iter().map(|(app, id)| (app.as_str(), *id)).unzip();
    Ok(sqlx::query_as(BY_EVENT_ID).bind(apps).bind(ids).fetch_all(c).await?)
}

// `not in` is a hashed subplan, whatever joins the planner is left; a join of two of these sets
// would be a nested loop over both. Lanes are locked in id order, so that two writers never wait
// for each other in a circle.
macro_rules! insert_sql {
    ($conflict:literal) => {
        concat!("with m as (insert into message (id, app_id, event_type, event_id, \
    idempotency_key, payload, content_type, channels, tags, deliver_at, outcome, created_at, \
    payload_expires_at) select s.id, s.app_id, s.event_type, s.event_id, s.idempotency_key, \
    s.payload, s.content_type, s.channels, s.tags, s.deliver_at, s.outcome, $13, s.expires_at \
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], \
    $7::text[], $8::text[], $9::text[], $10::bigint[], $11::smallint[], $12::bigint[]) \
    s (id, app_id, event_type, event_id, idempotency_key, payload, content_type, channels, tags, \
    deliver_at, outcome, expires_at) ", $conflict, " returning id), \
    x as (select s.id from unnest($1::text[]) s (id) where s.id not in (select id from m)), \
    d as (insert into delivery (id, app_id, endpoint_id, state, due_at, lease_owner, created_at) \
    select s.id, s.app_id, s.endpoint_id, s.state, s.due_at, \
    case when s.state = 1 then $20::bigint end, $13 \
    from unnest($14::text[], $15::text[], $16::text[], $17::text[], $18::smallint[], \
    $19::bigint[]) s (id, message_id, app_id, endpoint_id, state, due_at) \
    where s.message_id not in (select id from x)), \
    k as (select l.endpoint_id, s.due_at from unnest($21::text[], $22::bigint[]) \
    s (endpoint_id, due_at) join lane l on l.endpoint_id = s.endpoint_id \
    order by l.endpoint_id for update of l), \
    l as (update lane set next_due_at = least(lane.next_due_at, k.due_at) from k \
    where lane.endpoint_id = k.endpoint_id) \
    select id from x")
    };
}
/// A message without an event id or idempotency key cannot meet another one: its id is random. To
/// be ready for a conflict costs a second look at each index.
const INSERT: &str = insert_sql!("");
const INSERT_UNLESS_THERE: &str = insert_sql!("on conflict do nothing");

/// Answers the messages that were not inserted, because another process was first.
pub(crate) async fn insert(
    c: &mut PgConnection,
    messages: &[&NewMessage],
    plan: &Plan,
    node: i64,
) -> Result<HashSet<MessageId>> {
    let rows: Vec<_> = plan
        .messages
        .iter()
        .filter_map(|planned| Some((planned, *messages.get(planned.at)?)))
        .collect();
    let lists = |pick: fn(&NewMessage) -> &[String]| {
        rows.iter().map(|(_, message)| rows::to_list(pick(message))).collect::<Result<Vec<_>>>()
    };
    let (channels, tags) = (lists(|m| &m.channels)?, lists(|m| &m.tags)?);
    let expires = |message: &NewMessage| {
        message.payload_retention_ms.map(|retention_ms| plan.now.plus_ms(retention_ms).0)
    };
    let message_ids: Vec<MessageId> =
        plan.deliveries.iter().map(|delivery| delivery.id.message_id()).collect();
    let may_meet_another =
        rows.iter().any(|(p, message)| p.idempotency_key.is_some() || message.event_id.is_some());
    let sql = if may_meet_another { INSERT_UNLESS_THERE } else { INSERT };
    let missed: Vec<(String,)> = sqlx::query_as(sql)
        .bind(column(&rows, |(planned, _)| planned.id.as_str()))
        .bind(column(&rows, |(planned, _)| planned.app_id.as_str()))
        .bind(column(&rows, |(_, message)| message.event_type.as_str()))
        .bind(column(&rows, |(_, message)| message.event_id.as_deref()))
        .bind(column(&rows, |(planned, _)| planned.idempotency_key.as_deref()))
        .bind(column(&rows, |(_, message)| &message.payload[..]))
        .bind(column(&rows, |(_, message)| message.content_type.as_deref()))
        .bind(channels)
        .bind(tags)
        .bind(column(&rows, |(_, message)| message.deliver_at.map(|at| at.0)))
        .bind(column(&rows, |(planned, _)| planned.outcome as i16))
        .bind(column(&rows, |(_, message)| expires(message)))
        .bind(plan.now.0)
        .bind(column(&plan.deliveries, |delivery| delivery.id.as_str()))
        .bind(column(&message_ids, MessageId::as_str))
        .bind(column(&plan.deliveries, |delivery| delivery.app_id.as_str()))
        .bind(column(&plan.deliveries, |delivery| delivery.endpoint_id.as_str()))
        .bind(column(&plan.deliveries, |delivery| delivery.state.code()))
        .bind(column(&plan.deliveries, |delivery| delivery.due_at.0))
        .bind(node)
        .bind(plan.due_by_lane.keys().map(EndpointId::as_str).collect::<Vec<_>>())
        .bind(plan.due_by_lane.values().map(|due| due.0).collect::<Vec<_>>())
        .fetch_all(c)
        .await?;
    missed.iter().map(|(id,)| rows::id(id)).collect()
}

// One row of `s` is a settlement with its attempt, if there was one. What the update returns
// carries the attempt's columns on, so that nothing is joined twice. `state + 0` keeps the planner
// from starting at the lease index: the primary key is the way in.
const SETTLE: &str = "with s as (select * from unnest($1::text[], $2::smallint[], $3::bigint[], \
    $4::integer[], $5::integer[], $6::smallint[], $7::bigint[], $8::integer[], $9::text[], \
    $10::smallint[], $11::bigint[], $12::integer[], $13::bytea[], $14::text[]) \
    s (id, state, due_at, attempts, status_code, error, settled_at, attempts_before, \
    attempt_id, trigger, at, duration_ms, response_body, detail)), \
    u as (update delivery d set state = s.state, due_at = s.due_at, attempts = s.attempts, \
    last_status = coalesce(s.status_code, d.last_status), last_error = s.error, \
    settled_at = s.settled_at, lease_owner = null from s where d.id = s.id and d.state + 0 = 1 \
    and d.lease_owner = $15 and d.attempts = s.attempts_before \
    returning d.id, d.app_id, d.endpoint_id, d.state, s.attempts, s.status_code, s.error, \
    s.attempt_id, s.trigger, s.at, s.duration_ms, s.response_body, s.detail), \
    a as (insert into attempt (id, app_id, endpoint_id, number, trigger, at, duration_ms, \
    status_code, error, response_body, detail) select attempt_id, app_id, endpoint_id, attempts, \
    trigger, at, duration_ms, status_code, error, response_body, detail from u \
    where attempt_id is not null), \
    g as (insert into usage (endpoint_id, hour, state, deliveries) \
    select endpoint_id, $16, state, count(*) from u where state >= 2 \
    group by endpoint_id, state order by endpoint_id, state \
    on conflict (endpoint_id, hour, state) \
    do update set deliveries = usage.deliveries + excluded.deliveries), \
    k as (select l.endpoint_id, t.due_at, t.hold_until \
    from unnest($17::text[], $18::bigint[], $19::bigint[]) t (endpoint_id, due_at, hold_until) \
    join lane l on l.endpoint_id = t.endpoint_id order by l.endpoint_id for update of l), \
    l as (update lane set next_due_at = least(lane.next_due_at, k.due_at), \
    hold_until = greatest(lane.hold_until, k.hold_until) from k \
    where lane.endpoint_id = k.endpoint_id) \
    select s.id from s where s.id not in (select id from u)";

/// Answers the deliveries whose lease was lost; all others are settled.
pub(crate) async fn settle(
    c: &mut PgConnection,
    jobs: &[Job],
    node: i64,
    now: Timestamp,
) -> Result<HashSet<DeliveryId>> {
    let settlements: Vec<&Settlement> = jobs.iter().map(|job| &job.settlement).collect();
    let mut lanes = BTreeMap::new();
    for settlement in &settlements {
        super::settle::note_lane(&mut lanes, settlement, now);
    }
    let lost: Vec<(String,)> = sqlx::query_as(SETTLE)
        .bind(column(&settlements, |s| s.delivery_id.as_str()))
        .bind(column(&settlements, |s| s.state().code()))
        .bind(column(&settlements, |s| s.due_at(now).0))
        .bind(column(&settlements, |s| rows::small(s.attempts())))
        .bind(column(&settlements, |s| s.attempt.as_ref()?.status_code.map(i32::from)))
        .bind(column(&settlements, |s| s.attempt.as_ref()?.error.map(ErrorKind::code)))
        .bind(column(&settlements, |s| s.state().is_final().then_some(now.0)))
        .bind(column(&settlements, |s| rows::small(s.attempts_before)))
        .bind(column(&settlements, |s| s.attempt.as_ref().map(|attempt| attempt.id.as_str())))
        .bind(column(&settlements, |s| s.attempt.as_ref().map(|attempt| attempt.trigger.code())))
        .bind(column(&settlements, |s| s.attempt.as_ref().map(|attempt| attempt.at.0)))
        .bind(column(&settlements, |s| s.attempt.as_ref().map(|a| rows::small(a.duration_ms))))
        .bind(column(&settlements, |s| s.attempt.as_ref().map(|a| &a.response_body[..])))
        .bind(column(jobs, |job| job.detail.as_deref()))
        .bind(node)
        .bind(now.0 - now.0.rem_euclid(HOUR_MS))
        .bind(lanes.keys().map(EndpointId::as_str).collect::<Vec<_>>())
        .bind(lanes.values().map(|(due, _)| due.0).collect::<Vec<_>>())
        .bind(lanes.values().map(|(_, hold)| hold.0).collect::<Vec<_>>())
        .fetch_all(c)
        .await?;
    lost.iter().map(|(id,)| rows::id(id)).collect()
}

// Lanes that another process is claiming from are left to it. Lanes of an app with a rate are
// held until the same moment; the one served last comes last. The busy ones are a hashed subplan:
// `<> all` of a parameter would compare each due lane with each of them.
const DUE_LANES: &str = "select endpoint_id, app_id, drains from lane \
    where greatest(next_due_at, hold_until) <= $1 \
    and endpoint_id not in (select busy.id from unnest($2::text[]) busy (id)) \
    order by greatest(next_due_at, hold_until), next_due_at limit $3 for update skip locked";

pub(crate) async fn due_lanes(
    c: &mut PgConnection,
    now: Timestamp,
    busy: &[EndpointId],
    limit: usize,
) -> Result<Vec<DueLane>> {
    Ok(sqlx::query_as(DUE_LANES)
        .bind(now.0)
        .bind(column(busy, EndpointId::as_str))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(c)
        .await?)
}

const TAKE: &str = "with t as (select d.id from unnest($1::text[], $2::integer[]) \
    q (endpoint_id, n) cross join lateral (select id from delivery \
    where endpoint_id = q.endpoint_id and state = 0 and due_at <= $3 \
    order by due_at, id limit q.n for update skip locked) d) \
    update delivery d set state = 1, due_at = $4, lease_owner = $5 from t where d.id = t.id \
    returning d.id, d.endpoint_id, d.attempts, d.trigger";

pub(crate) async fn take(c: &mut PgConnection, request: &Request<'_>) -> Result<Vec<Taken>> {
    Ok(sqlx::query_as(TAKE)
        .bind(column(request.limits, |(endpoint, _)| endpoint.as_str()))
        .bind(column(request.limits, |(_, n)| rows::small(*n)))
        .bind(request.now.0)
        .bind(request.until.0)
        .bind(request.node)
        .fetch_all(c)
        .await?)
}

const CONTENTS: &str =
    "select id, event_type, payload, content_type from message where id = any($1)";

pub(crate) async fn contents(c: &mut PgConnection, ids: &[&str]) -> Result<Vec<Content>> {
    Ok(sqlx::query_as(CONTENTS).bind(ids).fetch_all(c).await?)
}

// A lane that was served goes to the end of the line, however old its backlog is.
const MOVE_LANES: &str = "update lane set hold_until = greatest(lane.hold_until, s.hold_until), \
    drains = case when s.drains > 1 and s.drains < coalesce((select min(due_at) from delivery \
    where endpoint_id = lane.endpoint_id and state = 0), 9223372036854775807) then 0 \
    else s.drains end, \
    next_due_at = greatest($3, coalesce((select min(due_at) from delivery \
    where endpoint_id = lane.endpoint_id and state = 0), 9223372036854775807)) \
    from unnest($1::text[], $2::bigint[], $4::bigint[]) s (endpoint_id, hold_until, drains) \
    where lane.endpoint_id = s.endpoint_id";

pub(crate) async fn move_lanes(
    c: &mut PgConnection,
    now: Timestamp,
    lanes: &[LaneMove],
) -> Result<()> {
    sqlx::query(MOVE_LANES)
        .bind(column(lanes, |lane| lane.endpoint_id.as_str()))
        .bind(column(lanes, |lane| lane.hold_until.0))
        .bind(now.0)
        .bind(column(lanes, |lane| lane.drains))
        .execute(c)
        .await?;
    Ok(())
}

// In id order, as everywhere where somebody waits for lanes.
const HOLD_APPS: &str = "with k as (select l.endpoint_id, s.hold_until \
    from unnest($1::text[], $2::bigint[]) s (app_id, hold_until) \
    join lane l on l.app_id = s.app_id order by l.endpoint_id for update of l) \
    update lane set hold_until = greatest(lane.hold_until, k.hold_until) from k \
    where lane.endpoint_id = k.endpoint_id";

pub(crate) async fn hold_apps(c: &mut PgConnection, apps: &[(AppId, Timestamp)]) -> Result<()> {
    sqlx::query(HOLD_APPS)
        .bind(column(apps, |(app, _)| app.as_str()))
        .bind(column(apps, |(_, hold)| hold.0))
        .execute(c)
        .await?;
    Ok(())
}

const TOUCH_APPS: &str = "with k as (select id from app where id = any($1) order by id for update) \
    update app set version = version + 1 from k where app.id = k.id";

/// Tells every route cache that something of these apps changed.
pub(crate) async fn touch_apps(c: &mut PgConnection, apps: &[AppId]) -> Result<()> {
    sqlx::query(TOUCH_APPS).bind(column(apps, AppId::as_str)).execute(c).await?;
    Ok(())
}

const NEXT_DUE: &str = "select greatest(next_due_at, hold_until) from lane \
    where greatest(next_due_at, hold_until) < 9223372036854775807 \
    order by greatest(next_due_at, hold_until) limit 1";

pub(crate) async fn next_due(c: &mut PgConnection) -> Result<Option<Timestamp>> {
    let due: Option<(i64,)> = sqlx::query_as(NEXT_DUE).fetch_optional(c).await?;
    Ok(due.map(|(due,)| Timestamp(due)))
}

/// One column of a batch.
fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}
