//! The catalogue of event types.

use model::Timestamp;
use model::audit::{Actor, Change};
use model::event_type::EventType;
use sqlx::FromRow;

use crate::audit::{self, shown};
use crate::db::{Tx, on};
use crate::endpoints::schedule;
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, rows};

macro_rules! columns {
    () => {
        "name, id, description, archived, deprecated, schemas, feature_flags, group_name, \
         retry_schedule, created_at, updated_at"
    };
}

const FIND: &str = concat!("select ", columns!(), " from event_type where name = $1");
const LOCK: &str = concat!("select ", columns!(), " from event_type where name = $1 for update");
const LIST_ASCENDING: &str = concat!(
    "select ",
    columns!(),
    " from event_type where name > $1 and name < $2 \
     and (archived = false or $3) order by name limit $4"
);
const LIST_DESCENDING: &str = concat!(
    "select ",
    columns!(),
    " from event_type where name > $1 and name < $2 \
     and (archived = false or $3) order by name desc limit $4"
);
const INSERT: &str = concat!(
    "insert into event_type (",
    columns!(),
    ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
);
const UPDATE: &str = "update event_type set description = $2, archived = $3, deprecated = $4, \
    schemas = $5, feature_flags = $6, group_name = $7, retry_schedule = $8, updated_at = $9 \
    where name = $1";
const DELETE: &str = "delete from event_type where name = $1";

#[derive(FromRow)]
struct Row {
    name: String,
    id: String,
    description: String,
    archived: bool,
    deprecated: bool,
    schemas: Option<String>,
    feature_flags: Option<String>,
    group_name: Option<String>,
    retry_schedule: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for EventType {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: rows::id(&row.id)?,
            name: row.name,
            description: row.description,
            archived: row.archived,
            deprecated: row.deprecated,
            schemas: row.schemas.as_deref().map(rows::json).transpose()?,
            feature_flags: row.feature_flags.as_deref().map(rows::json).transpose()?,
            group_name: row.group_name,
            retry_schedule: row.retry_schedule.as_deref().map(schedule).transpose()?,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn event_type(&self, name: &str) -> Result<Option<EventType>> {
        let row: Option<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(FIND).bind(name).fetch_optional(c).await
        })?;
        row.map(EventType::try_from).transpose()
    }

    /// # Errors
    /// When the database fails.
    pub async fn event_types(
        &self,
        query: &PageQuery,
        include_archived: bool,
    ) -> Result<Page<EventType>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(&keyset.above).bind(&keyset.below).bind(include_archived).bind(keyset.fetch())
            .fetch_all(c).await)?;
        let found = rows.into_iter().map(EventType::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(found, |event_type| event_type.name.clone()))
    }

    /// False when the name is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_event_type(&self, event_type: &EventType, by: &Actor) -> Result<bool> {
        let columns = Columns::of(event_type)?;
        let mut tx = self.db().begin().await?;
        let done = on!(&mut tx, c => sqlx::query(INSERT)
            .bind(&event_type.name)
            .bind(event_type.id.as_str())
            .bind(&event_type.description)
            .bind(event_type.archived)
            .bind(event_type.deprecated)
            .bind(columns.schemas)
            .bind(columns.feature_flags)
            .bind(&event_type.group_name)
            .bind(columns.retry_schedule)
            .bind(event_type.created_at.0)
            .bind(event_type.updated_at.0)
            .execute(&mut **c).await.map(drop))
        .map_err(StoreError::from);
        match done {
            Err(error) if error.is_unique_violation() => return Ok(false),
            done => done?,
        }
        let change = change("event_type.create", event_type, None, Some(event_type));
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.schedules.forget();
        Ok(true)
    }

    /// # Errors
    /// When the database fails.
    pub async fn update_event_type(&self, event_type: &EventType, by: &Actor) -> Result<()> {
        let columns = Columns::of(event_type)?;
        let mut tx = self.db().begin().await?;
        let Some(before) = lock(&mut tx, &event_type.name).await? else { return Ok(()) };
        on!(&mut tx, c => sqlx::query(UPDATE)
            .bind(&event_type.name)
            .bind(&event_type.description)
            .bind(event_type.archived)
            .bind(event_type.deprecated)
            .bind(columns.schemas)
            .bind(columns.feature_flags)
            .bind(&event_type.group_name)
            .bind(columns.retry_schedule)
            .bind(event_type.updated_at.0)
            .execute(&mut **c).await.map(drop))?;
        let verb = shown::event_type_verb(&before, event_type);
        let change = change(verb, event_type, Some(&before), Some(event_type));
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.schedules.forget();
        Ok(())
    }

    /// False when there is none of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_event_type(&self, name: &str, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let Some(before) = lock(&mut tx, name).await? else { return Ok(false) };
        on!(&mut tx, c => sqlx::query(DELETE)
            .bind(name).execute(&mut **c).await.map(drop))?;
        let change = change("event_type.delete", &before, Some(&before), None);
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.schedules.forget();
        Ok(true)
    }
}

/// The event type as it is, and stays until the commit but for this transaction.
async fn lock(tx: &mut Tx, name: &str) -> Result<Option<EventType>> {
    let row: Option<Row> = match tx {
        Tx::Sqlite(c) => sqlx::query_as(FIND).bind(name).fetch_optional(&mut **c).await?,
        Tx::Postgres(c) => sqlx::query_as(LOCK).bind(name).fetch_optional(&mut **c).await?,
    };
    row.map(EventType::try_from).transpose()
}

fn change(
    action: &'static str,
    of: &EventType,
    before: Option<&EventType>,
    after: Option<&EventType>,
) -> Change {
    Change {
        action,
        target: of.name.clone(),
        app_id: None,
        before: before.map(shown::event_type),
        after: after.map(shown::event_type),
    }
}

/// The columns that are stored as text made from something else.
struct Columns {
    schemas: Option<String>,
    feature_flags: Option<String>,
    retry_schedule: Option<String>,
}

impl Columns {
    fn of(event_type: &EventType) -> Result<Self> {
        Ok(Self {
            schemas: event_type.schemas.as_ref().map(rows::to_json).transpose()?,
            feature_flags: event_type.feature_flags.as_ref().map(rows::to_json).transpose()?,
            retry_schedule: event_type.retry_schedule.as_ref().map(ToString::to_string),
        })
    }
}
