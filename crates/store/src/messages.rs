//! Messages, read back. They are written by `hot/ingest`.

use model::audit::{Actor, Change};
use model::message::{Message, Outcome};
use model::{AppId, MessageId, Timestamp};
use sqlx::FromRow;

use crate::db::on;
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, audit, rows};

/// Payloads erased in one transaction.
const ERASE_STEP: i64 = 500;

/// Which messages of an app.
#[derive(Clone, Debug, Default)]
pub struct MessageQuery {
    pub page: PageQuery,
    pub filter: MessageFilter,
    pub with_content: bool,
}

/// What lists of messages and of attempts can be narrowed by.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    pub event_types: Vec<String>,
    pub channel: Option<String>,
    pub tag: Option<String>,
    pub before: Option<Timestamp>,
    pub after: Option<Timestamp>,
}

impl MessageFilter {
    /// `,a,b,`: a list that both databases can search with `replace`.
    pub(crate) fn types_text(&self) -> String {
        if self.event_types.is_empty() {
            return String::new();
        }
        format!(",{},", self.event_types.join(","))
    }

    pub(crate) fn channel_text(&self) -> String {
        quoted(self.channel.as_deref())
    }

    pub(crate) fn tag_text(&self) -> String {
        quoted(self.tag.as_deref())
    }
}

/// An entry as it stands in a stored JSON list.
fn quoted(entry: Option<&str>) -> String {
    entry.map(|entry| format!("\"{entry}\"")).unwrap_or_default()
}

// `replace(list, entry, '') <> list` is how both databases say "list contains entry".
macro_rules! filtered {
    ($rest:literal) => {
        concat!(
            "select id, app_id, event_type, event_id, \
             case when $7 then payload end as payload, content_type, channels, tags, deliver_at, \
             outcome, created_at, payload_expires_at, replay_of, changed from message \
             where app_id = $1 and id > $2 and id < $3 \
             and ($4 = '' or replace($4, ',' || event_type || ',', '') <> $4) \
             and ($5 = '' or replace(channels, $5, '') <> channels) \
             and ($6 = '' or replace(tags, $6, '') <> tags) ",
            $rest
        )
    };
}

const LIST_ASCENDING: &str = filtered!("order by id limit $8");
const LIST_DESCENDING: &str = filtered!("order by id desc limit $8");
const FIND: &str = "select id, app_id, event_type, event_id, payload, content_type, channels, \
    tags, deliver_at, outcome, created_at, payload_expires_at, replay_of, changed from message \
    where app_id = $1 and (id = $2 or event_id = $2)";
const ERASE: &str = "update message set payload = null where app_id = $1 and id = $2";
const ERASE_EXPIRED: &str = "update message set payload = null, payload_expires_at = null \
    where id in (select id from message where payload_expires_at <= $1 limit $2)";

#[derive(FromRow)]
struct Row {
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
    payload_expires_at: Option<i64>,
    replay_of: Option<String>,
    changed: Option<bool>,
}

impl TryFrom<Row> for Message {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: rows::id(&row.id)?,
            app_id: rows::id(&row.app_id)?,
            event_type: row.event_type,
            event_id: row.event_id,
            payload: row.payload.map(Into::into),
            content_type: row.content_type,
            channels: rows::list(row.channels.as_deref())?,
            tags: rows::list(row.tags.as_deref())?,
            deliver_at: rows::moment(row.deliver_at),
            outcome: Outcome::from_code(row.outcome),
            created_at: Timestamp(row.created_at),
            payload_expires_at: rows::moment(row.payload_expires_at),
            replay_of: row.replay_of.as_deref().map(rows::id).transpose()?,
            changed: row.changed.unwrap_or(false),
        })
    }
}

impl Store {
    /// A message by its id or by the publisher's event id, if it is this app's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn message_in_app(&self, app: AppId, message: &str) -> Result<Option<Message>> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(app.as_str()).bind(message).fetch_optional(c).await)?;
        row.map(Message::try_from).transpose()
    }

    /// # Errors
    /// When the database fails.
    pub async fn messages_in_app(&self, app: AppId, query: &MessageQuery) -> Result<Page<Message>> {
        let mut keyset = query.page.keyset();
        let filter = &query.filter;
        if let Some(after) = filter.after {
            keyset.raise(MessageId::floor(after.plus_ms(1)).as_str());
        }
        if let Some(before) = filter.before {
            keyset.lower(MessageId::floor(before).as_str());
        }
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(app.as_str())
            .bind(&keyset.above)
            .bind(&keyset.below)
            .bind(filter.types_text())
            .bind(filter.channel_text())
            .bind(filter.tag_text())
            .bind(query.with_content)
            .bind(keyset.fetch())
            .fetch_all(c).await)?;
        let found = rows.into_iter().map(Message::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(found, |message| message.id.to_string()))
    }

    /// Erases a payload; false when the app has no such message.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_payload(&self, app: AppId, message: MessageId, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let erased = on!(&mut tx, c => sqlx::query(ERASE)
            .bind(app.as_str()).bind(message.as_str())
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if erased == 0 {
            return Ok(false);
        }
        let change = Change {
            action: "message.delete_content",
            target: message.to_string(),
            app_id: Some(app),
            before: None,
            after: None,
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Erases some payloads whose own end has come; false when none was left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_expired_payloads(&self) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let erased = on!(&mut tx, c => sqlx::query(ERASE_EXPIRED)
            .bind(self.now().0).bind(ERASE_STEP)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(erased > 0)
    }
}
