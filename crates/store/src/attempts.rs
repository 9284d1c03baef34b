//! Attempts, read back. They are written by `hot/settle`.

use model::attempt::{Attempt, AttemptDetail, ErrorKind};
use model::audit::{Actor, Change};
use model::delivery::Trigger;
use model::{AppId, AttemptId, DeliveryId, EndpointId, MessageId, Timestamp};
use sqlx::FromRow;

use crate::db::on;
use crate::messages::MessageFilter;
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, audit, partitions, rows};

/// Attempts of one message that are read at the most.
pub const MAX_PER_MESSAGE: i64 = 10_000;

#[derive(Clone, Debug, Default)]
pub struct AttemptQuery {
    pub page: PageQuery,
    pub filter: MessageFilter,
    pub succeeded: Option<bool>,
    /// 200, 300, 400 or 500.
    pub status_code_class: Option<u16>,
    /// Of this endpoint only.
    pub endpoint: Option<EndpointId>,
}

macro_rules! columns {
    () => {
        "a.id, a.app_id, a.endpoint_id, a.number, a.trigger, a.at, a.duration_ms, \
         a.status_code, a.error, a.response_body, a.detail"
    };
}
// The key of a page is (at, id); `$2` and `$4` are moments, `$3` and `$5` ids.
macro_rules! filtered {
    ($from:literal, $order:literal) => {
        concat!(
            "select ",
            columns!(),
            " from attempt a \
             left join message m on m.id = 'msg_' || substr(a.id, 7, 27) where a.app_id = $1 \
             and (a.at, a.id) > ($2, $3) and (a.at, a.id) < ($4, $5) \
             and ($6 < 0 or ($6 = 1 and a.error is null) or ($6 = 0 and a.error is not null)) \
             and ($7 = 0 or (a.status_code >= $7 and a.status_code < $7 + 100)) \
             and ($8 = '' or replace($8, ',' || m.event_type || ',', '') <> $8) \
             and ($9 = '' or replace(m.channels, $9, '') <> m.channels) \
             and ($10 = '' or replace(m.tags, $10, '') <> m.tags) ",
            $from,
            $order
        )
    };
}

const ENDPOINT_ASCENDING: &str = filtered!(
    "and a.endpoint_id = $12 and a.id >= $13 and a.id < $14 ",
    "order by a.at, a.id limit $11"
);
const ENDPOINT_DESCENDING: &str = filtered!(
    "and a.endpoint_id = $12 and a.id >= $13 and a.id < $14 ",
    "order by a.at desc, a.id desc limit $11"
);
const MESSAGE_ASCENDING: &str = filtered!(
    "and a.id >= $13 and a.id < $14 and ($12 = '' or a.endpoint_id = $12) ",
    "order by a.at, a.id limit $11"
);
const MESSAGE_DESCENDING: &str = filtered!(
    "and a.id >= $13 and a.id < $14 and ($12 = '' or a.endpoint_id = $12) ",
    "order by a.at desc, a.id desc limit $11"
);
const FIND: &str =
    concat!("select ", columns!(), " from attempt a where a.id = $1 and a.app_id = $2");
const OF_DELIVERY: &str = concat!(
    "select ",
    columns!(),
    " from attempt a where a.id >= $1 and a.id < $2 and a.app_id = $3 order by a.id limit $4"
);
const ERASE_RESPONSE: &str =
    "update attempt set response_body = null where id = $1 and app_id = $2";

#[derive(FromRow)]
pub(crate) struct Row {
    pub id: String,
    pub app_id: String,
    pub endpoint_id: String,
    pub number: i32,
    pub trigger: i16,
    pub at: i64,
    pub duration_ms: i32,
    pub status_code: Option<i32>,
    pub error: Option<i16>,
    pub response_body: Option<Vec<u8>>,
    pub detail: String,
}

impl TryFrom<Row> for Attempt {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: rows::id(&row.id)?,
            app_id: rows::id(&row.app_id)?,
            endpoint_id: rows::id(&row.endpoint_id)?,
            number: rows::count(row.number),
            trigger: Trigger::from_code(row.trigger),
            at: Timestamp(row.at),
            duration_ms: rows::count(row.duration_ms),
            status_code: row.status_code.and_then(|status| u16::try_from(status).ok()),
            error: row.error.and_then(ErrorKind::from_code),
            response_body: row.response_body.unwrap_or_default(),
            detail: rows::json::<AttemptDetail>(&row.detail)?,
        })
    }
}

/// Sorts after every id.
const LAST: &str = "~";

/// The key of a page: `<at, 15 digits>.<id>`.
fn key(attempt: &Attempt) -> String {
    format!("{:015}.{}", attempt.at.0, attempt.id)
}

fn bound(key: &str, otherwise: i64) -> (i64, &str) {
    key.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id))).unwrap_or((otherwise, ""))
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn attempt_in_app(&self, app: AppId, id: AttemptId) -> Result<Option<Attempt>> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(id.as_str()).bind(app.as_str()).fetch_optional(c).await)?;
        row.map(Attempt::try_from).transpose()
    }

    /// The attempts of one delivery, first to last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attempts_of_delivery(&self, app: AppId, id: DeliveryId) -> Result<Vec<Attempt>> {
        let (low, high) = id.attempt_range();
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(OF_DELIVERY)
            .bind(low).bind(high).bind(app.as_str()).bind(MAX_PER_MESSAGE)
            .fetch_all(c).await)?;
        rows.into_iter().map(Attempt::try_from).collect()
    }

    /// The attempts at one endpoint, by time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attempts_of_endpoint(
        &self,
        app: AppId,
        endpoint: EndpointId,
        query: &AttemptQuery,
    ) -> Result<Page<Attempt>> {
        let range = (String::new(), LAST.to_owned());
        let sql = [ENDPOINT_DESCENDING, ENDPOINT_ASCENDING];
        self.attempts(app, query, sql, endpoint.as_str(), range).await
    }

    /// The attempts for one message, by time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attempts_of_message(
        &self,
        app: AppId,
        message: MessageId,
        query: &AttemptQuery,
    ) -> Result<Page<Attempt>> {
        let endpoint = query.endpoint.as_ref().map_or("", EndpointId::as_str);
        let sql = [MESSAGE_DESCENDING, MESSAGE_ASCENDING];
        self.attempts(app, query, sql, endpoint, message.attempt_range()).await
    }

    async fn attempts(
        &self,
        app: AppId,
        query: &AttemptQuery,
        sql: [&'static str; 2],
        endpoint: &str,
        (low, high): (String, String),
    ) -> Result<Page<Attempt>> {
        let keyset = query.page.keyset();
        let filter = &query.filter;
        let mut above = bound(&keyset.above, i64::MIN);
        let mut below = bound(&keyset.below, i64::MAX);
        if let Some(after) = filter.after {
            above = above.max((after.0, "~"));
        }
        if let Some(before) = filter.before {
            below = below.min((before.0, ""));
        }
        // No attempt is older than its message: partitions of later days need no look.
        let high = match below {
            (i64::MAX, _) => high,
            (at, _) => high.min(partitions::floor(Timestamp(at).plus_ms(1))),
        };
        let rows: Vec<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(sql[usize::from(keyset.ascending)])
                .bind(app.as_str())
                .bind(above.0)
                .bind(above.1)
                .bind(below.0)
                .bind(below.1)
                .bind(query.succeeded.map_or(-1, i32::from))
                .bind(query.status_code_class.map_or(0, i32::from))
                .bind(filter.types_text())
                .bind(filter.channel_text())
                .bind(filter.tag_text())
                .bind(keyset.fetch())
                .bind(endpoint)
                .bind(low)
                .bind(high)
                .fetch_all(c).await
        })?;
        let found = rows.into_iter().map(Attempt::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(found, key))
    }

    /// Erases the kept response; false when the app has no such attempt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_response(&self, app: AppId, id: AttemptId, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let erased = on!(&mut tx, c => sqlx::query(ERASE_RESPONSE)
            .bind(id.as_str()).bind(app.as_str())
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if erased == 0 {
            return Ok(false);
        }
        let change = Change {
            action: "attempt.delete_content",
            target: id.to_string(),
            app_id: Some(app),
            before: None,
            after: None,
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(true)
    }
}
