//! Circuit breakers: what all processes share of them, their history, and the thresholds that apps
//! and endpoints have of their own.
//!
//! Every transition goes through [`Store::move_breaker`]: at the app's row, where all changes of one
//! app's endpoints wait for each other, it asks [`Breaker::step`] what the event makes of the breaker
//! as it is stored. An event that another process was faster with is no longer legal, or says
//! something about an earlier era, and changes nothing.

mod thresholds;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::audit::{Actor, Change};
use model::breaker::{Breaker, Event, Override, State, Step, Thresholds};
use model::endpoint::Endpoint;
use model::{AppId, EndpointId, Timestamp};
use serde_json::{Map, Value, json};
use sqlx::FromRow;

pub use thresholds::OwnThresholds;

use crate::db::{Tx, on};
use crate::hot::claim::stepped_ms_at_rate;
use crate::operations::event;
use crate::{Operation, Result, Store, StoreError, apps, audit, lanes, rows};

/// Transitions of one endpoint that are answered.
pub const MAX_CHANGES: i64 = 100;
/// Transitions forgotten in one step.
const MAX_PRUNED: i64 = 1_000;

macro_rules! columns {
    () => {
        "endpoint_id, app_id, state, version, era, opened_times, since, until, successes, \
         by_hand, reason, figures"
    };
}

const OF_APP: &str = concat!("select ", columns!(), " from breaker where app_id = $1");
const FIND: &str =
    concat!("select ", columns!(), " from breaker where endpoint_id = $1 and app_id = $2");
const SAVE: &str = concat!(
    "insert into breaker (",
    columns!(),
    ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (endpoint_id) \
     do update set state = excluded.state, version = excluded.version, era = excluded.era, \
     opened_times = excluded.opened_times, since = excluded.since, until = excluded.until, \
     successes = excluded.successes, by_hand = excluded.by_hand, reason = excluded.reason, \
     figures = excluded.figures"
);
const RECORD: &str = "insert into breaker_change (endpoint_id, version, app_id, at, from_state, \
    to_state, until, actor, reason, figures) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const CHANGES: &str = "select version, at, from_state, to_state, until, actor, reason, figures \
    from breaker_change where endpoint_id = $1 and app_id = $2 order by version desc limit $3";
const PRUNE: &str = "delete from breaker_change where (endpoint_id, version) in \
    (select endpoint_id, version from breaker_change where at < $1 order by at limit $2)";
const DELETE: &str = "delete from breaker where endpoint_id = $1";
const DELETE_CHANGES: &str = "delete from breaker_change where endpoint_id = $1";
const DELETE_OWN: &str = "delete from breaker_threshold where owner_id = $1";
/// Everything of an app that is deleted.
pub(crate) const DELETE_OF_APP: [&str; 3] = [
    "delete from breaker where app_id = $1",
    "delete from breaker_change where endpoint_id in (select id from endpoint where app_id = $1)",
    "delete from breaker_threshold where app_id = $1",
];
const OWN_OF_APP: &str = "select owner_id, thresholds from breaker_threshold where app_id = $1";
const APP_RATE: &str = "select throttle_rate from app where id = $1";
const DRAINING: &str = "select endpoint_id from lane where app_id = $1 and drains > 0";

#[derive(FromRow)]
struct Row {
    endpoint_id: String,
    state: i16,
    version: i64,
    era: i64,
    opened_times: i32,
    since: i64,
    until: i64,
    successes: i32,
    by_hand: bool,
    reason: String,
    figures: String,
}

impl Row {
    fn read(self) -> Result<Breaker> {
        Ok(Breaker {
            state: State::from_code(self.state),
            version: self.version,
            era: self.era,
            opened_times: rows::count(self.opened_times),
            since: Timestamp(self.since),
            until: Timestamp(self.until),
            successes: rows::count(self.successes),
            by_hand: self.by_hand,
            reason: self.reason,
            figures: rows::json(&self.figures)?,
        })
    }
}

/// A transition that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerChange {
    pub version: i64,
    pub at: Timestamp,
    pub from: State,
    pub to: State,
    pub until: Timestamp,
    /// Who did it by hand; none: it came so.
    pub actor: Option<String>,
    pub reason: String,
    pub figures: model::breaker::Figures,
}

#[derive(FromRow)]
struct ChangeRow {
    version: i64,
    at: i64,
    from_state: i16,
    to_state: i16,
    until: i64,
    actor: Option<String>,
    reason: String,
    figures: String,
}

impl ChangeRow {
    fn read(self) -> Result<BreakerChange> {
        Ok(BreakerChange {
            version: self.version,
            at: Timestamp(self.at),
            from: State::from_code(self.from_state),
            to: State::from_code(self.to_state),
            until: Timestamp(self.until),
            actor: self.actor,
            reason: self.reason,
            figures: rows::json(&self.figures)?,
        })
    }
}

/// What the routes of an app need.
pub(crate) struct OfRoutes {
    breakers: HashMap<String, Breaker>,
    app: Arc<Thresholds>,
    own: HashMap<String, Override>,
    draining: HashSet<String>,
}

impl OfRoutes {
    pub fn breaker(&mut self, endpoint: &EndpointId) -> Option<Breaker> {
        self.breakers.remove(endpoint.as_str())
    }

    pub fn thresholds(&self, endpoint: &EndpointId) -> Arc<Thresholds> {
        match self.own.get(endpoint.as_str()) {
            Some(own) => Arc::new(self.app.with(own)),
            None => self.app.clone(),
        }
    }

    pub fn drains(&self, endpoint: &EndpointId) -> bool {
        self.draining.contains(endpoint.as_str())
    }
}

/// Whose breaker an event concerns.
#[derive(Clone, Copy, Debug)]
pub struct BreakerOf<'a> {
    pub endpoint: &'a Endpoint,
    pub thresholds: &'a Thresholds,
    /// What the event is about began in this era; none: it is about now.
    pub era: Option<i64>,
    /// Who does it by hand.
    pub by: Option<&'a Actor>,
}

/// When a lane goes on after so many probes, for the rate of its endpoint to be kept: they count.
async fn free_from(
    tx: &mut Tx,
    of: &BreakerOf<'_>,
    probes: u32,
    now: Timestamp,
) -> Result<Timestamp> {
    if probes == 0 {
        return Ok(Timestamp::ZERO);
    }
    let of_app: Option<Option<i32>> = on!(tx, c => sqlx::query_scalar(APP_RATE)
        .bind(of.endpoint.app_id.as_str()).fetch_optional(&mut **c).await)?;
    let rates = [of.endpoint.throttle_rate, of_app.flatten().map(rows::count)];
    let rate = rates.into_iter().flatten().fold(of.thresholds.drain_rate, u32::min).max(1);
    Ok(now.plus_ms(stepped_ms_at_rate(probes, rate)))
}

impl Store {
    pub(crate) async fn breakers_of_routes(&self, app: AppId) -> Result<OfRoutes> {
        let breakers: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(OF_APP)
            .bind(app.as_str()).fetch_all(c).await)?;
        let own: Vec<(String, String)> = on!(self.db().reader(), c => sqlx::query_as(OWN_OF_APP)
            .bind(app.as_str()).fetch_all(c).await)?;
        let draining: Vec<(String,)> = on!(self.db().reader(), c => sqlx::query_as(DRAINING)
            .bind(app.as_str()).fetch_all(c).await)?;
        let mut own_by_owner = HashMap::new();
        for (owner, thresholds) in own {
            own_by_owner.insert(owner, rows::json::<Override>(&thresholds)?);
        }
        let app = match own_by_owner.get(app.as_str()) {
            Some(own) => Arc::new(self.0.thresholds.with(own)),
            None => self.0.thresholds.clone(),
        };
        let mut by_endpoint = HashMap::new();
        for row in breakers {
            by_endpoint.insert(row.endpoint_id.clone(), row.read()?);
        }
        let draining = draining.into_iter().map(|(endpoint,)| endpoint).collect();
        Ok(OfRoutes { breakers: by_endpoint, app, own: own_by_owner, draining })
    }

    /// The breaker of an endpoint; one that never opened is closed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn breaker_of(&self, app: AppId, endpoint: EndpointId) -> Result<Breaker> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(endpoint.as_str()).bind(app.as_str()).fetch_optional(c).await)?;
        row.map_or_else(|| Ok(Breaker::default()), Row::read)
    }

    /// The same, unless it is closed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn breaker_that_holds(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<Option<Breaker>> {
        let breaker = self.breaker_of(app, endpoint).await?;
        Ok(Some(breaker).filter(|breaker| breaker.state != State::Closed))
    }

    /// The last transitions of an endpoint's breaker, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn breaker_changes(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<Vec<BreakerChange>> {
        let rows: Vec<ChangeRow> = on!(self.db().reader(), c => sqlx::query_as(CHANGES)
            .bind(endpoint.as_str()).bind(app.as_str()).bind(MAX_CHANGES).fetch_all(c).await)?;
        rows.into_iter().map(ChangeRow::read).collect()
    }

    /// Lets an event move a breaker; none when it does not concern the breaker as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn move_breaker(&self, of: &BreakerOf<'_>, event: Event) -> Result<Option<Breaker>> {
        let (app, endpoint) = (of.endpoint.app_id, of.endpoint.id);
        let now = self.now();
        let mut tx = self.db().begin().await?;
        apps::touch(&mut tx, app).await?;
        let Some(before) = self.breaker_in_tx(&mut tx, app, endpoint).await? else {
            return Ok(None);
        };
        if of.era.is_some_and(|era| era != before.era) {
            return Ok(None);
        }
        let after = match before.step(event, of.thresholds, now, &self.0.entropy) {
            Step::Nothing => return Ok(None),
            Step::Counted(after) => {
                save(&mut tx, of.endpoint, &after).await?;
                let from = free_from(&mut tx, of, 1, now).await?;
                lanes::free(&mut tx, endpoint, from).await?;
                tx.commit().await?;
                self.0.wake.ring_queue();
                return Ok(Some(after));
            }
            Step::Moved(after) => after,
        };
        save(&mut tx, of.endpoint, &after).await?;
        record(&mut tx, of, before.state, &after).await?;
        match after.state {
            State::Open => {
                let keep = before.state == State::Closed;
                lanes::hold_and_drain(&mut tx, endpoint, after.until, keep).await?;
            }
            State::Closed => {
                let from = free_from(&mut tx, of, after.successes, now).await?;
                lanes::free(&mut tx, endpoint, from).await?;
            }
            State::HalfOpen => {}
        }
        if let Some(by) = of.by {
            let verb = if after.state == State::Open { "breaker.open" } else { "breaker.close" };
            let change = Change {
                action: verb,
                target: endpoint.to_string(),
                app_id: Some(app),
                before: Some(shown(&before)),
                after: Some(shown(&after)),
            };
            audit::append(self, &mut tx, by, change).await?;
        }
        tx.commit().await?;
        if after.state == State::Closed {
            self.0.slots.lock().release(&endpoint);
        }
        self.0.wake.ring_queue();
        if after.state != State::HalfOpen && after.state != before.state {
            self.try_publish_operation(operation(of.endpoint, &after)).await;
        }
        Ok(Some(after))
    }

    /// A probe came to nothing that says how the endpoint is: another may go out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn probe_again(&self, app: AppId, endpoint: EndpointId) -> Result<()> {
        let mut tx = self.db().begin().await?;
        apps::touch(&mut tx, app).await?;
        lanes::free(&mut tx, endpoint, Timestamp::ZERO).await?;
        tx.commit().await?;
        self.0.wake.ring_queue();
        Ok(())
    }

    /// None when the app has no such endpoint.
    async fn breaker_in_tx(
        &self,
        tx: &mut Tx,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<Option<Breaker>> {
        if !lanes::exists(tx, app, endpoint).await? {
            return Ok(None);
        }
        let row: Option<Row> = on!(tx, c => sqlx::query_as(FIND)
            .bind(endpoint.as_str()).bind(app.as_str()).fetch_optional(&mut **c).await)?;
        row.map_or_else(|| Ok(Breaker::default()), Row::read).map(Some)
    }

    /// Forgets transitions made before `before`; true when there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_breaker_changes(&self, before: Timestamp) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let done = on!(&mut tx, c => sqlx::query(PRUNE)
            .bind(before.0).bind(MAX_PRUNED).execute(&mut **c).await
            .map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(done >= MAX_PRUNED.unsigned_abs())
    }
}

async fn save(tx: &mut Tx, endpoint: &Endpoint, breaker: &Breaker) -> Result<()> {
    let figures = rows::to_json(&breaker.figures)?;
    on!(tx, c => sqlx::query(SAVE)
        .bind(endpoint.id.as_str())
        .bind(endpoint.app_id.as_str())
        .bind(breaker.state.code())
        .bind(breaker.version)
        .bind(breaker.era)
        .bind(rows::small(breaker.opened_times))
        .bind(breaker.since.0)
        .bind(breaker.until.0)
        .bind(rows::small(breaker.successes))
        .bind(breaker.by_hand)
        .bind(&breaker.reason)
        .bind(figures)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

async fn record(tx: &mut Tx, of: &BreakerOf<'_>, from: State, to: &Breaker) -> Result<()> {
    let figures = rows::to_json(&to.figures)?;
    on!(tx, c => sqlx::query(RECORD)
        .bind(of.endpoint.id.as_str())
        .bind(to.version)
        .bind(of.endpoint.app_id.as_str())
        .bind(to.since.0)
        .bind(from.code())
        .bind(to.state.code())
        .bind(to.until.0)
        .bind(of.by.map(|by| by.name.clone()))
        .bind(&to.reason)
        .bind(figures)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

/// Everything of an endpoint that is deleted.
pub(crate) async fn delete(tx: &mut Tx, endpoint: EndpointId) -> Result<()> {
    for sql in [DELETE, DELETE_CHANGES, DELETE_OWN] {
        on!(&mut *tx, c => sqlx::query(sql)
            .bind(endpoint.as_str()).execute(&mut **c).await.map(drop))
        .map_err(StoreError::from)?;
    }
    Ok(())
}

fn shown(breaker: &Breaker) -> Value {
    json!({
        "state": breaker.state.as_str(),
        "until": (breaker.until < Timestamp::NEVER).then_some(breaker.until.0),
        "reason": breaker.reason,
    })
}

fn operation(endpoint: &Endpoint, breaker: &Breaker) -> Operation {
    let is_open = breaker.state == State::Open;
    let mut data = Map::new();
    data.insert("endpointId".to_owned(), json!(endpoint.id));
    data.insert("endpointUid".to_owned(), json!(endpoint.uid));
    data.insert("reason".to_owned(), json!(breaker.reason));
    data.insert("byHand".to_owned(), json!(breaker.by_hand));
    data.insert("figures".to_owned(), json!(breaker.figures));
    if is_open {
        let until = (breaker.until < Timestamp::NEVER).then(|| breaker.until.to_rfc3339());
        data.insert("until".to_owned(), json!(until));
    }
    Operation {
        event_type: if is_open { event::BREAKER_OPENED } else { event::BREAKER_CLOSED },
        app_id: Some(endpoint.app_id),
        event_id: format!("breaker-{}-{}", endpoint.id, breaker.version),
        at: breaker.since,
        data,
    }
}
