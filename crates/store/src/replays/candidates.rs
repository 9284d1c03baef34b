//! What a replay may deliver: deliveries, or messages that an endpoint never got, in the order of
//! their ids.

use model::attempt::ErrorKind;
use model::delivery::State;
use model::filter::Filter;
use model::replay::{Kind, Parent, Selection};
use model::{DeliveryId, EndpointId, MessageId, ReplayId, Timestamp};
use sqlx::{FromRow, PgConnection, SqliteConnection};

use crate::db::{Either, Tx, on};
use crate::{Result, StoreError, rows};

macro_rules! columns {
    () => {
        "select d.id, d.endpoint_id, d.root_id, d.depth, d.state, d.last_status, d.last_error, \
         m.event_type, m.channels, m.tags, d.created_at, \
         case when $9 then (select count(*) from delivery x where x.id >= 'dlv_' || substr(m.id, 5) \
         and x.id < 'dlv_' || substr(m.id, 5) || '~' and x.endpoint_id = d.endpoint_id \
         and x.state in (0, 1, 2)) else 0 end as others "
    };
}
// What a replay itself made is not replayed again.
macro_rules! narrowed {
    () => {
        "and d.app_id = $1 and d.id > $3 and d.id < $4 and ($5 < 0 or d.state = $5) \
         and ($6 = 0 or (d.last_status >= $6 and d.last_status < $6 + 100)) \
         and ($7 = 0 or d.last_error = $7) and d.created_at <= $8 \
         and (d.replay_id is null or d.replay_id <> $10) and m.payload is not null "
    };
}

const OF_ENDPOINT: &str = concat!(
    columns!(),
    "from delivery d join message m on m.id = 'msg_' || substr(d.id, 5, 27) \
     where d.endpoint_id = $2 ",
    narrowed!(),
    "order by d.id limit $11"
);
// A message's deliveries are one range of the primary key.
const OF_APP: &str = concat!(
    columns!(),
    "from message m cross join delivery d \
     where d.id >= 'dlv_' || substr(m.id, 5) and d.id < 'dlv_' || substr(m.id, 5) || '~' \
     and m.app_id = $1 and m.id >= 'msg_' || substr($3, 5, 27) \
     and m.id <= 'msg_' || substr($4, 5, 27) \
     and ($2 = '' or replace($2, ',' || d.endpoint_id || ',', '') <> $2) ",
    narrowed!(),
    "order by m.id, d.id limit $11"
);
const MISSING: &str = "select m.id, m.event_type, m.channels, m.tags, m.created_at from message m \
    where m.app_id = $1 and m.id > $2 and m.id < $3 and m.payload is not null \
    and m.replay_of is null \
    and not exists (select 1 from delivery d where d.id >= 'dlv_' || substr(m.id, 5) \
    and d.id < 'dlv_' || substr(m.id, 5) || '~' and d.endpoint_id = $4) order by m.id limit $5";
const HOLDS_TEXT_SQLITE: &str = "select count(*) from ( \
    select 1 from message where id = $1 and instr(payload, cast($2 as blob)) > 0 union all \
    select 1 from attempt where id >= $3 and id < $4 \
    and instr(response_body, cast($2 as blob)) > 0) found";
const HOLDS_TEXT_POSTGRES: &str = "select count(*) from ( \
    select 1 from message where id = $1 and position(convert_to($2, 'UTF8') in payload) > 0 \
    union all select 1 from attempt where id >= $3 and id < $4 \
    and position(convert_to($2, 'UTF8') in response_body) > 0) found";

/// Something that a replay may deliver.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub message_id: MessageId,
    pub endpoint_id: EndpointId,
    /// The delivery it is made of; none for what an endpoint never got.
    pub parent: Option<Parent>,
    pub event_type: String,
    pub state: Option<State>,
    pub last_status: Option<u16>,
    pub last_error: Option<ErrorKind>,
    pub created_at: Timestamp,
    /// What a walk goes on after.
    pub(super) cursor: String,
    channels: Vec<String>,
    tags: Vec<String>,
    /// Another delivery to the same endpoint lives or has succeeded.
    is_covered: bool,
}

#[derive(FromRow)]
struct DeliveryRow {
    id: String,
    endpoint_id: String,
    root_id: Option<String>,
    depth: Option<i32>,
    state: i16,
    last_status: Option<i32>,
    last_error: Option<i16>,
    event_type: String,
    channels: Option<String>,
    tags: Option<String>,
    created_at: i64,
    others: i64,
}

#[derive(FromRow)]
struct MessageRow {
    id: String,
    event_type: String,
    channels: Option<String>,
    tags: Option<String>,
    created_at: i64,
}

/// What candidates are read through: a step's transaction, or a reader.
pub(super) type Look<'a> = Either<&'a mut SqliteConnection, &'a mut PgConnection>;

pub(super) fn within(tx: &mut Tx) -> Look<'_> {
    match tx {
        Either::Sqlite(c) => Either::Sqlite(&mut **c),
        Either::Postgres(c) => Either::Postgres(&mut **c),
    }
}

/// What is looked for, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search<'a> {
    pub kind: Kind,
    pub selection: &'a Selection,
    /// What the endpoint wants, held against messages that it never got: what was delivered once
    /// was wanted.
    pub filter: &'a Filter,
    pub replay_id: Option<ReplayId>,
    /// Deliveries that are younger are no candidates.
    pub begun_at: Timestamp,
}

impl Search<'_> {
    /// The next candidates after a cursor, of one endpoint or of all that are selected.
    pub async fn after(
        &self,
        look: &mut Look<'_>,
        cursor: Option<&str>,
        only: Option<EndpointId>,
        limit: i64,
    ) -> Result<Vec<Candidate>> {
        match (self.kind, only) {
            (Kind::Missing, Some(endpoint)) => self.missing(look, cursor, endpoint, limit).await,
            (Kind::Missing, None) => Ok(Vec::new()),
            _ => self.deliveries(look, cursor, only, limit).await,
        }
    }

    async fn deliveries(
        &self,
        look: &mut Look<'_>,
        cursor: Option<&str>,
        only: Option<EndpointId>,
        limit: i64,
    ) -> Result<Vec<Candidate>> {
        let selection = self.selection;
        let floor = |moment| MessageId::floor(moment).delivery_range().0;
        let from = cursor.map_or_else(|| floor(selection.since), str::to_owned);
        let (sql, endpoints) = match only {
            Some(endpoint) => (OF_ENDPOINT, endpoint.to_string()),
            None => (OF_APP, joined(&selection.endpoints)),
        };
        let recovers = self.kind == Kind::Recover;
        let state = if recovers { Some(State::Failed.code()) } else { selection.state };
        let rows: Vec<DeliveryRow> = on!(look, c => sqlx::query_as(sql)
            .bind(selection.app_id.as_str())
            .bind(endpoints)
            .bind(from)
            .bind(floor(selection.until))
            .bind(state.unwrap_or(-1))
            .bind(selection.status_code_class.map_or(0, i32::from))
            .bind(selection.error.map_or(0, ErrorKind::code))
            .bind(self.begun_at.0)
            .bind(recovers)
            .bind(self.replay_id.as_ref().map_or("", ReplayId::as_str))
            .bind(limit)
            .fetch_all(&mut **c).await)?;
        rows.into_iter().map(Candidate::try_from).collect()
    }

    async fn missing(
        &self,
        look: &mut Look<'_>,
        cursor: Option<&str>,
        endpoint: EndpointId,
        limit: i64,
    ) -> Result<Vec<Candidate>> {
        let selection = self.selection;
        let floor = MessageId::floor(selection.since);
        let rows: Vec<MessageRow> = on!(look, c => sqlx::query_as(MISSING)
            .bind(selection.app_id.as_str())
            .bind(cursor.unwrap_or(floor.as_str()))
            .bind(MessageId::floor(selection.until).as_str())
            .bind(endpoint.as_str())
            .bind(limit)
            .fetch_all(&mut **c).await)?;
        rows.into_iter().map(|row| Candidate::missing(row, endpoint)).collect()
    }

    /// Whether it is meant, past what the statement looked at.
    pub async fn wants(&self, look: &mut Look<'_>, candidate: &Candidate) -> Result<bool> {
        let Candidate { event_type, channels, tags, .. } = candidate;
        if (self.kind == Kind::Recover && candidate.is_covered)
            || !self.filter.wants(event_type, channels)
            || !self.selection.wants(event_type, channels, tags)
        {
            return Ok(false);
        }
        match &self.selection.text {
            Some(text) => holds_text(look, candidate, text).await,
            None => Ok(true),
        }
    }
}

/// Whether the payload, or a response to this delivery, holds a text.
async fn holds_text(look: &mut Look<'_>, candidate: &Candidate, text: &str) -> Result<bool> {
    let (low, high) =
        candidate.parent.as_ref().map(|parent| parent.id.attempt_range()).unwrap_or_default();
    let message = candidate.message_id.as_str();
    let found: i64 = match look {
        Either::Sqlite(c) => {
            sqlx::query_scalar(HOLDS_TEXT_SQLITE)
                .bind(message)
                .bind(text)
                .bind(low)
                .bind(high)
                .fetch_one(&mut **c)
                .await?
        }
        Either::Postgres(c) => {
            sqlx::query_scalar(HOLDS_TEXT_POSTGRES)
                .bind(message)
                .bind(text)
                .bind(low)
                .bind(high)
                .fetch_one(&mut **c)
                .await?
        }
    };
    Ok(found > 0)
}

/// `,a,b,`: a list that both databases can search with `replace`.
fn joined(endpoints: &[EndpointId]) -> String {
    if endpoints.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = endpoints.iter().map(EndpointId::as_str).collect();
    format!(",{},", names.join(","))
}

impl TryFrom<DeliveryRow> for Candidate {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self> {
        let id: DeliveryId = rows::id(&row.id)?;
        let root = row.root_id.as_deref().map(rows::id).transpose()?.unwrap_or(id);
        Ok(Self {
            message_id: id.message_id(),
            endpoint_id: rows::id(&row.endpoint_id)?,
            parent: Some(Parent { id, root, depth: rows::count(row.depth.unwrap_or(0)) }),
            event_type: row.event_type,
            state: Some(State::from_code(row.state)),
            last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
            last_error: row.last_error.and_then(ErrorKind::from_code),
            created_at: Timestamp(row.created_at),
            cursor: row.id,
            channels: rows::list(row.channels.as_deref())?,
            tags: rows::list(row.tags.as_deref())?,
            is_covered: row.others > 0,
        })
    }
}

impl Candidate {
    fn missing(row: MessageRow, endpoint_id: EndpointId) -> Result<Self> {
        Ok(Self {
            message_id: rows::id(&row.id)?,
            endpoint_id,
            parent: None,
            event_type: row.event_type,
            state: None,
            last_status: None,
            last_error: None,
            created_at: Timestamp(row.created_at),
            cursor: row.id,
            channels: rows::list(row.channels.as_deref())?,
            tags: rows::list(row.tags.as_deref())?,
            is_covered: false,
        })
    }
}
