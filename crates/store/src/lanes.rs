//! Lanes: one row per endpoint, the head of its queue.
//!
//! A claim finds work by looking at lanes whose queue is due and not held; it never looks at a
//! backlog. Pausing an endpoint with a million deliveries is one update here.

use model::endpoint::Endpoint;
use model::{AppId, EndpointId, Timestamp};

use crate::Result;
use crate::db::{Tx, on};

const INSERT: &str = "insert into lane (endpoint_id, app_id, next_due_at, hold_until) \
    values ($1, $2, $3, $4)";
// Freed, it is freed of being held for good; a pause that a receiver asked for goes on.
const SET_HOLD: &str = "update lane set hold_until = case \
    when $2 > 0 or hold_until = 9223372036854775807 then $2 else hold_until end \
    where endpoint_id = $1 and app_id = $3";
const DELETE: &str = "delete from lane where endpoint_id = $1";

pub(crate) async fn insert(tx: &mut Tx, endpoint: &Endpoint) -> Result<()> {
    on!(tx, c => sqlx::query(INSERT)
        .bind(endpoint.id.as_str())
        .bind(endpoint.app_id.as_str())
        .bind(Timestamp::NEVER.0)
        .bind(hold_of(endpoint).0)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

pub(crate) async fn set_hold(tx: &mut Tx, endpoint: &Endpoint) -> Result<()> {
    set_hold_until(tx, endpoint.app_id, endpoint.id, hold_of(endpoint)).await
}

pub(crate) async fn hold_for_good(tx: &mut Tx, app: AppId, endpoint: EndpointId) -> Result<()> {
    set_hold_until(tx, app, endpoint, Timestamp::NEVER).await
}

async fn set_hold_until(
    tx: &mut Tx,
    app: AppId,
    endpoint: EndpointId,
    until: Timestamp,
) -> Result<()> {
    on!(tx, c => sqlx::query(SET_HOLD)
        .bind(endpoint.as_str()).bind(until.0).bind(app.as_str())
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

pub(crate) async fn delete(tx: &mut Tx, endpoint: EndpointId) -> Result<()> {
    on!(tx, c => sqlx::query(DELETE)
        .bind(endpoint.as_str()).execute(&mut **c).await.map(drop))?;
    Ok(())
}

const fn hold_of(endpoint: &Endpoint) -> Timestamp {
    if endpoint.is_held() { Timestamp::NEVER } else { Timestamp::ZERO }
}
