//! Lanes: one row per endpoint, the head of its queue.
//!
//! A claim finds work by looking at lanes whose queue is due and not held; it never looks at a
//! backlog. Pausing an endpoint with a million deliveries is one update here.

use model::endpoint::Endpoint;
use model::window::Scope;
use model::{AppId, EndpointId, Timestamp};

use crate::db::{Either, Tx, on};
use crate::{Result, Store};

const INSERT: &str = "insert into lane (endpoint_id, app_id, next_due_at, hold_until) \
    values ($1, $2, $3, $4)";
// Freed, it is freed of being held for good; a pause that a receiver asked for goes on.
// If something piled up meanwhile it is drained.
const SET_HOLD: &str = "update lane set hold_until = case \
    when $2 > 0 or hold_until = 9223372036854775807 then $2 else hold_until end, \
    drains = case when $2 = 0 and hold_until = 9223372036854775807 and next_due_at <= $4 then 1 \
    else drains end where endpoint_id = $1 and app_id = $3";
const FREE: &str = "update lane set hold_until = $2 where endpoint_id = $1";
const HOLD_AND_DRAIN: &str = "update lane set drains = 1, hold_until = case \
    when $3 > 0 and hold_until > $2 then hold_until else $2 end where endpoint_id = $1";
const EXISTS: &str = "select count(*) from lane where endpoint_id = $1 and app_id = $2";
// What waits for as long as a window, or longer, waits for that window; not what waits for good.
const LET_GO_OF_APP: &str = "update lane set hold_until = 0, drains = 1 where app_id = $1 \
    and hold_until >= $2 and hold_until < 9223372036854775807";
const LET_GO_OF_ENDPOINT: &str = "update lane set hold_until = 0, drains = 1 where app_id = $1 \
    and hold_until >= $2 and hold_until < 9223372036854775807 and endpoint_id = $3";
const LET_GO_SQLITE: &str = "update lane set hold_until = 0, drains = 1 \
    where max(next_due_at, hold_until) >= $1 and max(next_due_at, hold_until) \
    < 9223372036854775807 and hold_until >= $1";
const LET_GO_POSTGRES: &str = "update lane set hold_until = 0, drains = 1 \
    where greatest(next_due_at, hold_until) >= $1 and greatest(next_due_at, hold_until) \
    < 9223372036854775807 and hold_until >= $1";
const NEXT_DUE_SQLITE: &str = "select max(next_due_at, hold_until) from lane \
    where max(next_due_at, hold_until) < 9223372036854775807 \
    order by max(next_due_at, hold_until) limit 1";
const NEXT_DUE_POSTGRES: &str = "select greatest(next_due_at, hold_until) from lane \
    where greatest(next_due_at, hold_until) < 9223372036854775807 \
    order by greatest(next_due_at, hold_until) limit 1";
const LEASED: &str = "select count(*) from delivery where state = 1";
const DELETE: &str = "delete from lane where endpoint_id = $1";

impl Store {
    /// When the next delivery may start; none when nothing waits, or what waits does so for good.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due(&self) -> Result<Option<Timestamp>> {
        let due: Option<(i64,)> = match self.db().reader() {
            Either::Sqlite(c) => sqlx::query_as(NEXT_DUE_SQLITE).fetch_optional(c).await?,
            Either::Postgres(c) => sqlx::query_as(NEXT_DUE_POSTGRES).fetch_optional(c).await?,
        };
        Ok(due.map(|(due,)| Timestamp(due)))
    }

    /// How many deliveries are leased, by all processes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn under_way(&self) -> Result<u64> {
        let leased: i64 = on!(self.db().reader(), c => {
            sqlx::query_scalar(LEASED).fetch_one(c).await
        })?;
        Ok(u64::try_from(leased).unwrap_or(0))
    }
}

pub(crate) async fn insert(tx: &mut Tx, endpoint: &Endpoint) -> Result<()> {
    on!(tx, c => sqlx::query(INSERT)
        .bind(endpoint.id.as_str())
        .bind(endpoint.app_id.as_str())
        .bind(Timestamp::NEVER.0)
        .bind(hold_of(endpoint).0)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

pub(crate) async fn set_hold(tx: &mut Tx, endpoint: &Endpoint, now: Timestamp) -> Result<()> {
    set_hold_until(tx, endpoint.app_id, endpoint.id, hold_of(endpoint), now).await
}

pub(crate) async fn hold_for_good(tx: &mut Tx, app: AppId, endpoint: EndpointId) -> Result<()> {
    set_hold_until(tx, app, endpoint, Timestamp::NEVER, Timestamp::ZERO).await
}

async fn set_hold_until(
    tx: &mut Tx,
    app: AppId,
    endpoint: EndpointId,
    until: Timestamp,
    now: Timestamp,
) -> Result<()> {
    on!(tx, c => sqlx::query(SET_HOLD)
        .bind(endpoint.as_str()).bind(until.0).bind(app.as_str()).bind(now.0)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

/// Lanes of a scope that are held until `from` or longer, but not for good, are looked at again.
pub(crate) async fn let_go(tx: &mut Tx, scope: &Scope, from: Timestamp) -> Result<()> {
    match scope {
        Scope::Instance => match tx {
            Tx::Sqlite(c) => {
                sqlx::query(LET_GO_SQLITE).bind(from.0).execute(&mut **c).await.map(drop)?;
            }
            Tx::Postgres(c) => {
                sqlx::query(LET_GO_POSTGRES).bind(from.0).execute(&mut **c).await.map(drop)?;
            }
        },
        Scope::App(app) => on!(tx, c => sqlx::query(LET_GO_OF_APP)
            .bind(app.as_str()).bind(from.0).execute(&mut **c).await.map(drop))?,
        Scope::Endpoints(app, endpoints) => {
            for endpoint in endpoints {
                on!(tx, c => sqlx::query(LET_GO_OF_ENDPOINT)
                    .bind(app.as_str()).bind(from.0).bind(endpoint.as_str())
                    .execute(&mut **c).await.map(drop))?;
            }
        }
    }
    Ok(())
}

/// From that moment on, whatever held it: the next claim finds what still does.
pub(crate) async fn free(tx: &mut Tx, endpoint: EndpointId, from: Timestamp) -> Result<()> {
    on!(tx, c => sqlx::query(FREE)
        .bind(endpoint.as_str()).bind(from.0).execute(&mut **c).await.map(drop))?;
    Ok(())
}

/// Holds a lane, at least as long as it is held already if that is to be kept; what piles up
/// meanwhile is drained.
pub(crate) async fn hold_and_drain(
    tx: &mut Tx,
    endpoint: EndpointId,
    until: Timestamp,
    keep: bool,
) -> Result<()> {
    on!(tx, c => sqlx::query(HOLD_AND_DRAIN)
        .bind(endpoint.as_str()).bind(until.0).bind(i32::from(keep))
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

pub(crate) async fn exists(tx: &mut Tx, app: AppId, endpoint: EndpointId) -> Result<bool> {
    let found: i64 = on!(tx, c => sqlx::query_scalar(EXISTS)
        .bind(endpoint.as_str()).bind(app.as_str()).fetch_one(&mut **c).await)?;
    Ok(found > 0)
}

pub(crate) async fn delete(tx: &mut Tx, endpoint: EndpointId) -> Result<()> {
    on!(tx, c => sqlx::query(DELETE)
        .bind(endpoint.as_str()).execute(&mut **c).await.map(drop))?;
    Ok(())
}

const fn hold_of(endpoint: &Endpoint) -> Timestamp {
    if endpoint.is_held() { Timestamp::NEVER } else { Timestamp::ZERO }
}
