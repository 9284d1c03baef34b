//! Keys, found and listed. Changes are in `key_edits`.

use model::key::{Key, Tagged};
use model::{AppId, KeyId, KeyspaceId};
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::key_rows::{OverRows, TaggedRow, app_text, one_column, over_rows};
use crate::page::{Page, PageQuery};
use crate::{LastUse, Result, Store, StoreError, rows};

/// Which keys: of an app or, without one, the instance's own.
#[derive(Clone, Debug, Default)]
pub struct KeyQuery {
    pub page: PageQuery,
    pub app: Option<AppId>,
    /// Of every app and the instance; `app` is not looked at.
    pub every_app: bool,
    pub keyspace: Option<KeyspaceId>,
    pub owner: Option<String>,
    pub tag: Option<String>,
    pub state: Option<KeyState>,
}

/// What lists tell keys apart by. A key that is several of these is the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    Active = 1,
    Disabled = 2,
    /// By its date; idleness is not looked at.
    Expired = 3,
    Revoked = 4,
}

/// A key with what lists show of its use.
#[derive(Clone, Debug)]
pub struct KeyRow {
    pub key: Tagged<Key>,
    pub last_use: Option<LastUse>,
}

macro_rules! columns {
    () => {
        "select body, tag, tag_version, last_used_at, last_used_address, last_used_agent from key "
    };
}
// What a list is narrowed by most is a condition of its own, for its index.
macro_rules! list {
    ($narrowed:literal, $order:literal) => {
        concat!(
            columns!(),
            "where ",
            $narrowed,
            " and id > $2 and id < $3 and ($4 = '' or keyspace_id = $4) \
             and ($5 = '' or owner = $5) and ($6 = '' or replace(tags, $6, '') <> tags) \
             and ($7 = 0 or $7 = case when revoked_at is not null then 4 \
             when expires_at <= $8 then 3 when not enabled then 2 else 1 end) ",
            $order,
            " limit $9"
        )
    };
}

const OF_APP: [&str; 2] =
    [list!("app_id = $1", "order by id"), list!("app_id = $1", "order by id desc")];
const OF_OWNER: [&str; 2] = [
    list!("app_id = $1 and owner = $5", "order by id"),
    list!("app_id = $1 and owner = $5", "order by id desc"),
];
const OF_KEYSPACE: [&str; 2] = [
    list!("$1 = '' and keyspace_id = $4", "order by id"),
    list!("$1 = '' and keyspace_id = $4", "order by id desc"),
];
const ALL: [&str; 2] = [list!("$1 = ''", "order by id"), list!("$1 = ''", "order by id desc")];

const FIND: &str = concat!(columns!(), "where id = $1 and app_id = $2");
const BY_IDS: OverRows =
    over_rows!(concat!(columns!(), "where id in (select value->>0 from "), ") order by id");

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    key: TaggedRow,
    last_used_at: Option<i64>,
    last_used_address: Option<String>,
    last_used_agent: Option<String>,
}

impl TryFrom<Row> for KeyRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let address = row.last_used_address.as_deref().map(str::parse).transpose();
        let address = address.map_err(|error| rows::corrupt("address", error))?;
        let user_agent = row.last_used_agent;
        let last_use = rows::moment(row.last_used_at);
        Ok(Self {
            key: row.key.read()?,
            last_use: last_use.map(|at| LastUse { at, address, user_agent }),
        })
    }
}

impl Store {
    /// A key of an app or, without one, of the instance. A foreign id finds nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_in_app(&self, app: Option<AppId>, id: &str) -> Result<Option<KeyRow>> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(id).bind(app_text(app.as_ref())).fetch_optional(c).await)?;
        row.map(KeyRow::try_from).transpose()
    }

    /// # Errors
    /// When the database fails.
    pub async fn keys(&self, query: &KeyQuery) -> Result<Page<KeyRow>> {
        let keyset = query.page.keyset();
        let app = if query.every_app { "" } else { app_text(query.app.as_ref()) };
        let keyspace = query.keyspace.as_ref().map_or("", KeyspaceId::as_str);
        let tag = query.tag.as_ref().map(rows::to_json).transpose()?;
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(statement(query))
            .bind(app).bind(&keyset.above).bind(&keyset.below)
            .bind(keyspace)
            .bind(query.owner.as_deref().unwrap_or_default())
            .bind(tag.unwrap_or_default())
            .bind(query.state.map_or(0, |state| state as i32))
            .bind(self.now().0)
            .bind(keyset.fetch())
            .fetch_all(c).await)?;
        let keys = rows.into_iter().map(KeyRow::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(keys, |row: &KeyRow| row.key.value.id.to_string()))
    }

    /// Whosever they are, in id order. Those that are gone are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys_by_ids(&self, ids: &[KeyId]) -> Result<Vec<KeyRow>> {
        let ids = one_column(ids.iter())?;
        let rows: Vec<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(BY_IDS.of(self.db())).bind(&ids).fetch_all(c).await
        })?;
        rows.into_iter().map(KeyRow::try_from).collect()
    }
}

fn statement(query: &KeyQuery) -> &'static str {
    let [ascending, descending] = match query {
        KeyQuery { every_app: true, keyspace: Some(_), .. } => OF_KEYSPACE,
        KeyQuery { every_app: true, .. } => ALL,
        KeyQuery { owner: Some(_), .. } => OF_OWNER,
        _ => OF_APP,
    };
    if query.page.keyset().ascending { ascending } else { descending }
}

/// The key as this transaction sees it.
pub(crate) async fn find(tx: &mut Tx, app: Option<AppId>, id: KeyId) -> Result<Option<Key>> {
    let row: Option<Row> = on!(&mut *tx, c => sqlx::query_as(FIND)
        .bind(id.as_str()).bind(app_text(app.as_ref())).fetch_optional(&mut **c).await)?;
    Ok(row.map(|row| row.key.read()).transpose()?.map(|found| found.value))
}
