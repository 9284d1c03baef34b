//! Apps. Every change raises the app's version, which is what route caches compare.

use model::app::App;
use model::audit::{Actor, Change};
use model::{AppId, Timestamp};
use sqlx::FromRow;

use crate::audit::{self, shown};
use crate::db::{Tx, on};
use crate::page::{Page, PageQuery};
use crate::rows::{self, Map};
use crate::{
    Result, Store, StoreError, breakers, failing, key_changes, key_edits, retention, secrets,
    windows,
};

/// An app by its id or by its uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppRef(String);

impl AppRef {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<AppId> for AppRef {
    fn from(id: AppId) -> Self {
        Self(id.as_str().to_owned())
    }
}

const FIND: &str = "select id, uid, name, throttle_rate, metadata, created_at, updated_at \
    from app where id = $1 or uid = $1";
const FIND_IN_TX: &str = "select id, uid, name, throttle_rate, metadata, created_at, updated_at \
    from app where id = $1";
const LOCK: &str = "select id, uid, name, throttle_rate, metadata, created_at, updated_at \
    from app where id = $1 for update";
const LIST_ASCENDING: &str = "select id, uid, name, throttle_rate, metadata, created_at, \
    updated_at from app where id > $1 and id < $2 order by id limit $3";
const LIST_DESCENDING: &str = "select id, uid, name, throttle_rate, metadata, created_at, \
    updated_at from app where id > $1 and id < $2 order by id desc limit $3";
const INSERT: &str = "insert into app (id, uid, name, throttle_rate, metadata, created_at, \
    updated_at) values ($1, $2, $3, $4, $5, $6, $7)";
const UPDATE: &str = "update app set uid = $2, name = $3, throttle_rate = $4, metadata = $5, \
    updated_at = $6, version = version + 1 where id = $1";
const TOUCH: &str = "update app set version = version + 1 where id = $1";
const DELETE: &str = "delete from app where id = $1";
const DELETE_MEMBERS: &str = "delete from member where app_id = $1";
const DELETE_SESSIONS: &str = "delete from session where app_id = $1";
const DELETE_ENDPOINTS: &str = "delete from endpoint where app_id = $1";
const DELETE_LANES: &str = "delete from lane where app_id = $1";
const DELETE_USAGE: &str = "delete from usage where endpoint_id in \
    (select id from endpoint where app_id = $1)";
const DELETE_SECRETS: &str = "delete from secret where endpoint_id in \
    (select id from endpoint where app_id = $1)";

#[derive(FromRow)]
struct Row {
    id: String,
    uid: Option<String>,
    name: String,
    throttle_rate: Option<i32>,
    metadata: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for App {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: rows::id(&row.id)?,
            uid: row.uid,
            name: row.name,
            throttle_rate: row.throttle_rate.map(rows::count),
            metadata: rows::json::<Map>(&row.metadata)?,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn app(&self, app: &AppRef) -> Result<Option<App>> {
        let row: Option<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(FIND).bind(app.as_str()).fetch_optional(c).await
        })?;
        row.map(App::try_from).transpose()
    }

    /// # Errors
    /// When the database fails.
    pub async fn apps(&self, query: &PageQuery) -> Result<Page<App>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(&keyset.above).bind(&keyset.below).bind(keyset.fetch())
            .fetch_all(c).await)?;
        let apps = rows.into_iter().map(App::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(apps, |app| app.id.to_string()))
    }

    /// False when the uid is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_app(&self, app: &App, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        if !write(&mut tx, INSERT, app).await? {
            return Ok(false);
        }
        audit::append(self, &mut tx, by, change("app.create", app.id, None, Some(app))).await?;
        tx.commit().await?;
        self.0.operations.look_again();
        Ok(true)
    }

    /// False when the uid is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_app(&self, app: &App, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let Some(before) = lock(&mut tx, app.id).await? else { return Ok(true) };
        if !write(&mut tx, UPDATE, app).await? {
            return Ok(false);
        }
        let change = change("app.update", app.id, Some(&before), Some(app));
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.operations.look_again();
        Ok(true)
    }

    /// Deletes the app with its endpoints and keys; its messages and deliveries are left to the
    /// purge task. False when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_app(&self, app: AppId, by: &Actor) -> Result<bool> {
        let mut tx = key_changes::begin(self).await?;
        let Some(before) = lock(&mut tx, app).await? else { return Ok(false) };
        for sql in [
            DELETE_MEMBERS,
            DELETE_SESSIONS,
            DELETE_SECRETS,
            DELETE_USAGE,
            DELETE_LANES,
            breakers::DELETE_OF_APP[0],
            breakers::DELETE_OF_APP[1],
            breakers::DELETE_OF_APP[2],
            windows::DELETE_OF_APP,
            retention::DELETE_OF_APP,
            secrets::DELETE_OF_APP[0],
            secrets::DELETE_OF_APP[1],
            secrets::DELETE_OF_APP[2],
            failing::DELETE_OF_APP,
            DELETE_ENDPOINTS,
            DELETE,
        ] {
            on!(&mut tx, c => {
                sqlx::query(sql).bind(app.as_str()).execute(&mut **c).await.map(drop)
            })?;
        }
        key_edits::delete_of_app(self, &mut tx, app).await?;
        let change = change("app.delete", app, Some(&before), None);
        audit::append(self, &mut tx, by, change).await?;
        key_changes::commit(self, tx).await?;
        Ok(true)
    }
}

async fn write(tx: &mut Tx, sql: &'static str, app: &App) -> Result<bool> {
    let metadata = rows::to_json(&app.metadata)?;
    let done = on!(tx, c => {
        let query = sqlx::query(sql)
            .bind(app.id.as_str())
            .bind(&app.uid)
            .bind(&app.name)
            .bind(app.throttle_rate.map(rows::small))
            .bind(metadata);
        // An update keeps the moment of creation.
        let query = if sql == INSERT { query.bind(app.created_at.0) } else { query };
        query.bind(app.updated_at.0).execute(&mut **c).await.map(drop)
    })
    .map_err(StoreError::from);
    match done {
        Err(error) if error.is_unique_violation() => Ok(false),
        done => done.map(|()| true),
    }
}

/// The app as it is, and stays until the commit but for this transaction.
async fn lock(tx: &mut Tx, app: AppId) -> Result<Option<App>> {
    let row: Option<Row> = match tx {
        Tx::Sqlite(c) => {
            sqlx::query_as(FIND_IN_TX).bind(app.as_str()).fetch_optional(&mut **c).await?
        }
        Tx::Postgres(c) => sqlx::query_as(LOCK).bind(app.as_str()).fetch_optional(&mut **c).await?,
    };
    row.map(App::try_from).transpose()
}

fn change(action: &'static str, id: AppId, before: Option<&App>, after: Option<&App>) -> Change {
    Change {
        action,
        target: id.to_string(),
        app_id: Some(id),
        before: before.map(shown::app),
        after: after.map(shown::app),
    }
}

/// Tells every route cache, of this and of other processes, that the app changed.
pub(crate) async fn touch(tx: &mut Tx, app: AppId) -> Result<()> {
    on!(tx, c => sqlx::query(TOUCH).bind(app.as_str()).execute(&mut **c).await.map(drop))?;
    Ok(())
}
