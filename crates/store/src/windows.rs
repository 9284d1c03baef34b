//! Maintenance windows of the instance and of apps.
//!
//! A route knows the windows that concern it and works out itself when it is held
//! (`routes.rs`); so a window holds and lets go at its very millisecond without anybody acting.
//! A change is seen by the next message: it raises the app's version, or the version of the
//! instance that every app's is compared with.
//!
//! The row also keeps the occurrence that is or comes next, for [`Store::advance_windows`]: it
//! announces starts and ends, once each whatever the number of nodes, and moves the row on.

mod announce;

use model::audit::{Actor, Change};
use model::window::{Held, Interval, MAX_WINDOWS, Scope, Window};
use model::{AppId, EndpointId, Timestamp, WindowId};
use serde_json::{Value, json};
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, apps, audit, lanes, rows};

macro_rules! columns {
    () => {
        "id, app_id, endpoint_ids, name, reason, plan, enabled, ended_at, starts_at, ends_at, \
         announced, version, created_at, updated_at"
    };
}
use columns;

const FIND: &str =
    concat!("select ", columns!(), " from maintenance_window where id = $1 and app_id = $2");
const LOCK: &str = concat!(
    "select ",
    columns!(),
    " from maintenance_window where id = $1 and app_id = $2 for update"
);
const LIST_ASCENDING: &str = concat!(
    "select ",
    columns!(),
    " from maintenance_window where app_id = $1 and id > $2 and id < $3 order by id limit $4"
);
const LIST_DESCENDING: &str = concat!(
    "select ",
    columns!(),
    " from maintenance_window where app_id = $1 and id > $2 and id < $3 order by id desc limit $4"
);
/// What may hold deliveries of an app: its own windows and the instance's, if they have something
/// to come.
const OF_ROUTES: &str = concat!(
    "select ",
    columns!(),
    " from maintenance_window where app_id in ('', $1) and next_at is not null"
);
const COUNT: &str = "select count(*) from maintenance_window where app_id = $1";
const INSERT: &str = "insert into maintenance_window (id, app_id, endpoint_ids, name, reason, \
    plan, enabled, ended_at, starts_at, ends_at, announced, next_at, created_at, updated_at) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const UPDATE: &str = "update maintenance_window set endpoint_ids = $3, name = $4, reason = $5, \
    plan = $6, enabled = $7, ended_at = $8, starts_at = $9, ends_at = $10, announced = $11, \
    next_at = $12, updated_at = $13, version = version + 1 where id = $1 and app_id = $2";
const DELETE: &str = "delete from maintenance_window where id = $1 and app_id = $2";
pub(crate) const DELETE_OF_APP: &str = "delete from maintenance_window where app_id = $1";
const TOUCH_INSTANCE: &str =
    "update instance_version set version = version + 1 where name = 'routes'";

#[derive(FromRow)]
struct Row {
    id: String,
    app_id: String,
    endpoint_ids: Option<String>,
    name: String,
    reason: String,
    plan: String,
    enabled: bool,
    ended_at: Option<i64>,
    starts_at: Option<i64>,
    ends_at: Option<i64>,
    announced: bool,
    version: i32,
    created_at: i64,
    updated_at: i64,
}

/// What holds an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowHold {
    /// Those that are active.
    pub windows: Vec<Window>,
    /// When it ends, and what follows it without a pause.
    pub until: Timestamp,
}

/// A window as it is kept, with what was announced of it.
struct Kept {
    window: Window,
    occurrence: Option<Interval>,
    announced: bool,
    version: i32,
}

impl TryFrom<Row> for Kept {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let scope = match (row.app_id.as_str(), &row.endpoint_ids) {
            ("", _) => Scope::Instance,
            (app, None) => Scope::App(rows::id(app)?),
            (app, Some(endpoints)) => Scope::Endpoints(rows::id(app)?, rows::json(endpoints)?),
        };
        let bounds = row.starts_at.zip(row.ends_at);
        let occurrence = bounds.map(|(starts_at, ends_at)| Interval {
            starts_at: Timestamp(starts_at),
            ends_at: Timestamp(ends_at),
        });
        let window = Window {
            id: rows::id(&row.id)?,
            scope,
            name: row.name,
            reason: row.reason,
            plan: rows::json(&row.plan)?,
            enabled: row.enabled,
            ended_at: rows::moment(row.ended_at),
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        };
        Ok(Self { window, occurrence, announced: row.announced, version: row.version })
    }
}

/// What is to be announced next of a window.
#[derive(Clone, Copy)]
struct News {
    occurrence: Option<Interval>,
    /// Its start was announced; the end is next.
    announced: bool,
}

impl News {
    fn of(window: &Window, now: Timestamp) -> Self {
        Self { occurrence: window.occurrence(now), announced: false }
    }

    /// An occurrence whose start was announced is followed to its end: to the new one if the
    /// change moved only that, else to now.
    fn after_change(before: &Kept, window: &Window, now: Timestamp) -> Self {
        let news = Self::of(window, now);
        let Some(old) = before.occurrence.filter(|_| before.announced) else { return news };
        match news.occurrence {
            Some(new) if new.starts_at == old.starts_at => Self { announced: true, ..news },
            _ => {
                let ended = Interval { ends_at: old.ends_at.min(now), ..old };
                Self { occurrence: Some(ended), announced: true }
            }
        }
    }

    fn next_at(self) -> Option<Timestamp> {
        let occurrence = self.occurrence?;
        Some(if self.announced { occurrence.ends_at } else { occurrence.starts_at })
    }
}

impl Store {
    /// Windows of an app, or with none those of the instance.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn windows(&self, app: Option<AppId>, query: &PageQuery) -> Result<Page<Window>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let found: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(owner(app.as_ref()))
            .bind(&keyset.above).bind(&keyset.below).bind(keyset.fetch())
            .fetch_all(c).await)?;
        let windows = found.into_iter().map(|row| Ok(Kept::try_from(row)?.window));
        let windows = windows.collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(windows, |window| window.id.to_string()))
    }

    /// A window of an app, or with none of the instance.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn window(&self, app: Option<AppId>, id: WindowId) -> Result<Option<Window>> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(id.as_str()).bind(owner(app.as_ref())).fetch_optional(c).await)?;
        row.map(|row| Ok(Kept::try_from(row)?.window)).transpose()
    }

    /// The windows that hold an endpoint at this moment, if any do.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn window_hold(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<Option<WindowHold>> {
        let now = self.now();
        let mut windows = self.windows_of_routes(app).await?;
        windows.retain(|window| window.scope.holds(&endpoint));
        let Some(until) = Held::merge(&windows, now).until(now) else { return Ok(None) };
        windows.retain(|window| window.is_active(now));
        Ok(Some(WindowHold { windows, until }))
    }

    /// The windows that may hold deliveries of an app. One that is not readable holds nothing.
    pub(crate) async fn windows_of_routes(&self, app: AppId) -> Result<Vec<Window>> {
        let found: Vec<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(OF_ROUTES).bind(app.as_str()).fetch_all(c).await
        })?;
        let read = |row: Row| {
            let id = row.id.clone();
            let kept = Kept::try_from(row);
            let log = |error: &StoreError| tracing::error!(%error, id, "a window holds nothing");
            kept.inspect_err(log).ok().map(|kept| kept.window)
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// False when there are too many already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_window(&self, window: &Window, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        // First, as it makes others wait who do the same.
        touch(&mut tx, window.scope.app_id()).await?;
        let count: i64 = on!(&mut tx, c => sqlx::query_scalar(COUNT)
            .bind(owner(window.scope.app_id().as_ref())).fetch_one(&mut **c).await)?;
        if usize::try_from(count).is_ok_and(|count| count >= MAX_WINDOWS) {
            return Ok(false);
        }
        write(&mut tx, INSERT, window, News::of(window, self.now())).await?;
        audit::append(self, &mut tx, by, change("window.create", None, Some(window))).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Saves all but the scope's app and the moment of creation; false when it is gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_window(&self, window: &Window, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let app = window.scope.app_id();
        touch(&mut tx, app).await?;
        let Some(before) = lock(&mut tx, app, window.id).await? else { return Ok(false) };
        let now = self.now();
        write(&mut tx, UPDATE, window, News::after_change(&before, window, now)).await?;
        let_go(&mut tx, &before.window, now).await?;
        let was_ended = is_ended(&before.window, window, now);
        let verb = if was_ended { "window.end" } else { "window.update" };
        let change = change(verb, Some(&before.window), Some(window));
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.wake.ring_queue();
        Ok(true)
    }

    /// False when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_window(
        &self,
        app: Option<AppId>,
        id: WindowId,
        by: &Actor,
    ) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        touch(&mut tx, app).await?;
        let Some(before) = lock(&mut tx, app, id).await? else { return Ok(false) };
        on!(&mut tx, c => sqlx::query(DELETE)
            .bind(id.as_str()).bind(owner(app.as_ref())).execute(&mut **c).await.map(drop))?;
        let now = self.now();
        let_go(&mut tx, &before.window, now).await?;
        let change = change("window.delete", Some(&before.window), None);
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.wake.ring_queue();
        if let Some(open) = before.occurrence.filter(|_| before.announced) {
            let ended = Interval { ends_at: open.ends_at.min(now), ..open };
            self.announce_deletion(&before.window, ended).await;
        }
        Ok(true)
    }
}

fn owner(app: Option<&AppId>) -> &str {
    app.map_or("", AppId::as_str)
}

/// Tells every route cache that windows changed. The row makes those wait who do the same.
async fn touch(tx: &mut Tx, app: Option<AppId>) -> Result<()> {
    if let Some(app) = app {
        return apps::touch(tx, app).await;
    }
    on!(tx, c => sqlx::query(TOUCH_INSTANCE).execute(&mut **c).await.map(drop))?;
    Ok(())
}

async fn lock(tx: &mut Tx, app: Option<AppId>, id: WindowId) -> Result<Option<Kept>> {
    let (id, owner) = (id.as_str(), owner(app.as_ref()));
    let row: Option<Row> = match tx {
        Tx::Sqlite(c) => sqlx::query_as(FIND).bind(id).bind(owner).fetch_optional(&mut **c).await?,
        Tx::Postgres(c) => {
            sqlx::query_as(LOCK).bind(id).bind(owner).fetch_optional(&mut **c).await?
        }
    };
    row.map(Kept::try_from).transpose()
}

async fn write(tx: &mut Tx, sql: &'static str, window: &Window, news: News) -> Result<()> {
    let app = window.scope.app_id();
    let endpoints = match &window.scope {
        Scope::Endpoints(_, endpoints) => Some(rows::to_json(&endpoints)?),
        Scope::Instance | Scope::App(_) => None,
    };
    let plan = rows::to_json(&window.plan)?;
    on!(tx, c => {
        let query = sqlx::query(sql)
            .bind(window.id.as_str())
            .bind(owner(app.as_ref()))
            .bind(endpoints)
            .bind(&window.name)
            .bind(&window.reason)
            .bind(plan)
            .bind(window.enabled)
            .bind(rows::ms(window.ended_at))
            .bind(rows::ms(news.occurrence.map(|occurrence| occurrence.starts_at)))
            .bind(rows::ms(news.occurrence.map(|occurrence| occurrence.ends_at)))
            .bind(news.announced)
            .bind(rows::ms(news.next_at()));
        // An update keeps the moment of creation.
        let query = if sql == INSERT { query.bind(window.created_at.0) } else { query };
        query.bind(window.updated_at.0).execute(&mut **c).await.map(drop)
    })?;
    Ok(())
}

/// Lanes that wait for the end of an occurrence are looked at again: whatever still holds them is
/// found by the next claim.
async fn let_go(tx: &mut Tx, before: &Window, now: Timestamp) -> Result<()> {
    let Some(active) = before.occurrence(now).filter(|found| found.contains(now)) else {
        return Ok(());
    };
    lanes::let_go(tx, &before.scope, active.ends_at).await
}

/// Whether a change is what ending the window now comes to.
fn is_ended(before: &Window, after: &Window, now: Timestamp) -> bool {
    let mut ended = before.clone();
    ended.end(now) && ended.plan == after.plan && ended.ended_at == after.ended_at
}

fn change(action: &'static str, before: Option<&Window>, after: Option<&Window>) -> Change {
    let window = after.or(before);
    Change {
        action,
        target: window.map(|window| window.id.to_string()).unwrap_or_default(),
        app_id: window.and_then(|window| window.scope.app_id()),
        before: before.map(shown),
        after: after.map(shown),
    }
}

fn shown(window: &Window) -> Value {
    let endpoints = match &window.scope {
        Scope::Endpoints(_, endpoints) => Some(endpoints),
        Scope::Instance | Scope::App(_) => None,
    };
    json!({
        "endpointIds": endpoints,
        "name": window.name,
        "reason": window.reason,
        "plan": window.plan,
        "enabled": window.enabled,
        "endedAt": window.ended_at.map(|at| at.0),
        "createdAt": window.created_at.0,
        "updatedAt": window.updated_at.0,
    })
}
