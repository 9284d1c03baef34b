//! Deliveries, read back and canceled. They are made by `hot/ingest` and `replays`, and moved by
//! `hot/claim` and `hot/settle`.

use model::audit::{Actor, Change};
use model::delivery::{Delivery, State, Trigger};
use model::{AppId, DeliveryId, EndpointId, MessageId, Timestamp};
use sqlx::FromRow;

use crate::audit::{self, shown};
use crate::db::on;
use crate::hot::settle::HOUR_MS;
use crate::messages::MessageFilter;
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, rows};

/// Deliveries of one message that are read at the most.
pub const MAX_PER_MESSAGE: i64 = 10_000;
/// How far a place in the queue is counted.
pub const MAX_PLACE: i64 = 1_000;

/// Which deliveries of an app.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    pub page: PageQuery,
    pub endpoint: Option<EndpointId>,
    pub state: Option<State>,
    pub filter: MessageFilter,
    /// 200, 300, 400 or 500: by the last answer.
    pub status_code_class: Option<u16>,
    /// By the last attempt's error.
    pub error: Option<model::attempt::ErrorKind>,
}

/// A delivery with what lists show of its message.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    pub delivery: Delivery,
    pub event_type: Option<String>,
    pub last_status: Option<u16>,
    pub last_error: Option<model::attempt::ErrorKind>,
    /// The message that its message was made of, for this endpoint alone.
    pub replay_of: Option<MessageId>,
    /// With another payload.
    pub changed: bool,
}

/// What became of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    Canceled,
    /// It is under way or final.
    TooLate(State),
    NotFound,
}

macro_rules! columns {
    () => {
        "d.id, d.app_id, d.endpoint_id, d.state, d.trigger, d.due_at, d.attempts, d.last_status, \
         d.last_error, d.parent_id, d.root_id, d.depth, d.replay_id, d.created_at, d.settled_at, \
         m.event_type, m.replay_of, m.changed"
    };
}
pub(crate) use columns;

macro_rules! filters {
    () => {
        " and d.id > $2 and d.id < $3 and ($4 < 0 or d.state = $4) \
         and ($5 = '' or replace($5, ',' || m.event_type || ',', '') <> $5) \
         and ($6 = '' or replace(m.channels, $6, '') <> m.channels) \
         and ($7 = '' or replace(m.tags, $7, '') <> m.tags) \
         and ($8 = 0 or (d.last_status >= $8 and d.last_status < $8 + 100)) \
         and ($9 = 0 or d.last_error = $9) "
    };
}
// A message's deliveries are one range of the primary key.
macro_rules! of_app {
    ($order:literal) => {
        concat!(
            "select ", columns!(), " from message m cross join delivery d \
             where d.id >= 'dlv_' || substr(m.id, 5) and d.id < 'dlv_' || substr(m.id, 5) || '~' \
             and m.app_id = $1 and m.id >= 'msg_' || substr($2, 5, 27) \
             and m.id <= 'msg_' || substr($3, 5, 27) and $11 = '' ",
            filters!(), $order
        )
    };
}
macro_rules! of_endpoint {
    ($order:literal) => {
        concat!(
            "select ",
            columns!(),
            " from delivery d \
             left join message m on m.id = 'msg_' || substr(d.id, 5, 27) \
             where d.endpoint_id = $11 and d.app_id = $1 ",
            filters!(),
            $order
        )
    };
}

const APP_ASCENDING: &str = of_app!("order by m.id, d.id limit $10");
const APP_DESCENDING: &str = of_app!("order by m.id desc, d.id desc limit $10");
const ENDPOINT_ASCENDING: &str = of_endpoint!("order by d.id limit $10");
const ENDPOINT_DESCENDING: &str = of_endpoint!("order by d.id desc limit $10");
const FIND: &str = concat!(
    "select ",
    columns!(),
    " from delivery d \
     left join message m on m.id = 'msg_' || substr(d.id, 5, 27) where d.id = $1 and d.app_id = $2"
);
const OF_MESSAGE: &str = concat!(
    "select ",
    columns!(),
    " from delivery d \
     left join message m on m.id = 'msg_' || substr(d.id, 5, 27) \
     where d.id >= $1 and d.id < $2 and d.app_id = $3 order by d.id limit $4"
);
const CANCEL_IF_QUEUED: &str = "update delivery set state = 4, settled_at = $3 \
    where id = $1 and app_id = $2 and state = 0";
const COUNT_CANCELED: &str = "insert into usage (endpoint_id, hour, state, deliveries) \
    select endpoint_id, $2, 4, 1 from delivery where id = $1 \
    on conflict (endpoint_id, hour, state) do update set deliveries = usage.deliveries + 1";
const PLACE: &str = "select count(*) from (select 1 from delivery \
    where endpoint_id = $1 and state = 0 and (due_at < $2 or (due_at = $2 and id < $3)) \
    limit $4) ahead";
const HOLD: &str = "select hold_until from lane where endpoint_id = $1";

#[derive(FromRow)]
pub(crate) struct Row {
    id: String,
    app_id: String,
    endpoint_id: String,
    state: i16,
    trigger: i16,
    due_at: i64,
    attempts: i32,
    last_status: Option<i32>,
    last_error: Option<i16>,
    parent_id: Option<String>,
    root_id: Option<String>,
    depth: Option<i32>,
    replay_id: Option<String>,
    created_at: i64,
    settled_at: Option<i64>,
    event_type: Option<String>,
    replay_of: Option<String>,
    changed: Option<bool>,
}

impl TryFrom<Row> for DeliveryRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let state = State::from_code(row.state);
        let due_at = Timestamp(row.due_at);
        let delivery = Delivery {
            id: rows::id(&row.id)?,
            app_id: rows::id(&row.app_id)?,
            endpoint_id: rows::id(&row.endpoint_id)?,
            state,
            trigger: Trigger::from_code(row.trigger),
            due_at,
            lease_until: (state == State::Leased).then_some(due_at),
            attempts: rows::count(row.attempts),
            parent_id: row.parent_id.as_deref().map(rows::id).transpose()?,
            root_id: row.root_id.as_deref().map(rows::id).transpose()?,
            depth: rows::count(row.depth.unwrap_or(0)),
            replay_id: row.replay_id.as_deref().map(rows::id).transpose()?,
            created_at: Timestamp(row.created_at),
            settled_at: rows::moment(row.settled_at),
        };
        Ok(Self {
            delivery,
            event_type: row.event_type,
            last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
            last_error: row.last_error.and_then(model::attempt::ErrorKind::from_code),
            replay_of: row.replay_of.as_deref().map(rows::id).transpose()?,
            changed: row.changed.unwrap_or(false),
        })
    }
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn delivery_in_app(&self, app: AppId, id: DeliveryId) -> Result<Option<DeliveryRow>> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(id.as_str()).bind(app.as_str()).fetch_optional(c).await)?;
        row.map(DeliveryRow::try_from).transpose()
    }

    /// The deliveries of a message, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliveries_of_message(
        &self,
        app: AppId,
        message: MessageId,
    ) -> Result<Vec<DeliveryRow>> {
        let (low, high) = message.delivery_range();
        let mut found: Vec<DeliveryRow> = {
            let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(OF_MESSAGE)
                .bind(low).bind(high).bind(app.as_str()).bind(MAX_PER_MESSAGE)
                .fetch_all(c).await)?;
            rows.into_iter().map(DeliveryRow::try_from).collect::<Result<_>>()?
        };
        found.sort_by_key(|row| row.delivery.created_at);
        Ok(found)
    }

    /// # Errors
    /// When the database fails.
    pub async fn deliveries_in_app(
        &self,
        app: AppId,
        query: &DeliveryQuery,
    ) -> Result<Page<DeliveryRow>> {
        let mut keyset = query.page.keyset();
        let filter = &query.filter;
        if let Some(after) = filter.after {
            keyset.raise(&MessageId::floor(after.plus_ms(1)).delivery_range().0);
        }
        if let Some(before) = filter.before {
            keyset.lower(&MessageId::floor(before).delivery_range().0);
        }
        let sql = match (query.endpoint.is_some(), keyset.ascending) {
            (true, true) => ENDPOINT_ASCENDING,
            (true, false) => ENDPOINT_DESCENDING,
            (false, true) => APP_ASCENDING,
            (false, false) => APP_DESCENDING,
        };
        // The bounds of the key are cut at fixed places: they must look like ids.
        let below = if keyset.below == "~" { "dlv_~".to_owned() } else { keyset.below.clone() };
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(app.as_str())
            .bind(&keyset.above)
            .bind(below)
            .bind(query.state.map_or(-1, State::code))
            .bind(filter.types_text())
            .bind(filter.channel_text())
            .bind(filter.tag_text())
            .bind(query.status_code_class.map_or(0, i32::from))
            .bind(query.error.map_or(0, model::attempt::ErrorKind::code))
            .bind(keyset.fetch())
            .bind(query.endpoint.as_ref().map_or("", EndpointId::as_str))
            .fetch_all(c).await)?;
        let found = rows.into_iter().map(DeliveryRow::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(found, |row| row.delivery.id.to_string()))
    }

    /// # Errors
    /// When the database fails.
    pub async fn cancel_delivery_if_queued(
        &self,
        app: AppId,
        id: DeliveryId,
        by: &Actor,
    ) -> Result<Cancel> {
        let mut tx = self.db().begin().await?;
        let canceled = on!(&mut tx, c => sqlx::query(CANCEL_IF_QUEUED)
            .bind(id.as_str()).bind(app.as_str()).bind(self.now().0)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if canceled > 0 {
            let hour = self.now().0 - self.now().0.rem_euclid(HOUR_MS);
            on!(&mut tx, c => sqlx::query(COUNT_CANCELED)
                .bind(id.as_str()).bind(hour).execute(&mut **c).await.map(drop))?;
            let change = Change {
                action: "delivery.cancel",
                target: id.to_string(),
                app_id: Some(app),
                before: Some(shown::state(State::Queued)),
                after: Some(shown::state(State::Canceled)),
            };
            audit::append(self, &mut tx, by, change).await?;
            tx.commit().await?;
            return Ok(Cancel::Canceled);
        }
        // Its connection first: the read below takes another.
        drop(tx);
        let found = self.delivery_in_app(app, id).await?;
        Ok(found.map_or(Cancel::NotFound, |row| Cancel::TooLate(row.delivery.state)))
    }

    /// How many deliveries of the same endpoint are due before this one, up to [`MAX_PLACE`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn place_in_queue(&self, delivery: &Delivery) -> Result<u32> {
        let ahead: i64 = on!(self.db().reader(), c => sqlx::query_scalar(PLACE)
            .bind(delivery.endpoint_id.as_str())
            .bind(delivery.due_at.0)
            .bind(delivery.id.as_str())
            .bind(MAX_PLACE)
            .fetch_one(c).await)?;
        Ok(u32::try_from(ahead).unwrap_or(0))
    }

    /// Until when nothing is started for an endpoint; none when nothing holds it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold_of(&self, endpoint: EndpointId) -> Result<Option<Timestamp>> {
        let hold: Option<i64> = on!(self.db().reader(), c => sqlx::query_scalar(HOLD)
            .bind(endpoint.as_str()).fetch_optional(c).await)?;
        Ok(rows::moment(hold).filter(|hold| *hold > self.now()))
    }
}
