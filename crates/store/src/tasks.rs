//! Background tasks: long work that survives a restart.

use model::audit::{Actor, Change};
use model::task::{Progress, Task, TaskStatus, Work};
use model::{AppId, TaskId, Timestamp};
use sqlx::FromRow;

use crate::audit::{self, shown};
use crate::db::{Tx, on};
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, rows};

/// Running tasks looked at in one round.
const MAX_RUNNING: i64 = 16;

macro_rules! columns {
    () => {
        "id, app_id, status, work, progress, created_at, updated_at"
    };
}

const INSERT: &str =
    concat!("insert into task (", columns!(), ") values ($1, $2, $3, $4, $5, $6, $7)");
const FIND: &str = concat!("select ", columns!(), " from task where id = $1");
const RUNNING: &str =
    concat!("select ", columns!(), " from task where status = 'running' order by id limit $1");
const LIST_ASCENDING: &str = concat!(
    "select ",
    columns!(),
    " from task where id > $1 and id < $2 \
     and ($3 = '' or status = $3) and ($5 = '' or app_id = $5) order by id limit $4"
);
const LIST_DESCENDING: &str = concat!(
    "select ",
    columns!(),
    " from task where id > $1 and id < $2 \
     and ($3 = '' or status = $3) and ($5 = '' or app_id = $5) order by id desc limit $4"
);
const ADVANCE_IF_RUNNING: &str = "update task set status = $2, progress = $3, updated_at = $4 \
    where id = $1 and status = 'running'";
const PROGRESS_IF_RUNNING: &str = "select progress from task where id = $1 and status = 'running'";
const LOCK_IF_RUNNING: &str = "select progress from task where id = $1 and status = 'running' \
    for update skip locked";

#[derive(FromRow)]
struct Row {
    id: String,
    app_id: Option<String>,
    status: String,
    work: String,
    progress: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Task {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: rows::id(&row.id)?,
            app_id: row.app_id.as_deref().map(rows::id).transpose()?,
            status: TaskStatus::parse(&row.status),
            work: rows::json(&row.work)?,
            progress: rows::json(&row.progress)?,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }
}

impl Store {
    /// Writes a task down and wakes whoever runs tasks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_task(&self, app: Option<AppId>, work: Work, by: &Actor) -> Result<Task> {
        let now = self.now();
        let task = Task {
            id: TaskId::new(now, self.entropy()),
            app_id: app,
            status: TaskStatus::Running,
            work,
            progress: Progress::default(),
            created_at: now,
            updated_at: now,
        };
        let (work, progress) = (rows::to_json(&task.work)?, rows::to_json(&task.progress)?);
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(INSERT)
            .bind(task.id.as_str())
            .bind(task.app_id.as_ref().map(AppId::as_str))
            .bind(task.status.as_str())
            .bind(work)
            .bind(progress)
            .bind(now.0)
            .bind(now.0)
            .execute(&mut **c).await.map(drop))?;
        let change = Change {
            action: "task.create",
            target: task.id.to_string(),
            app_id: app,
            before: None,
            after: Some(shown::task(&task)),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.wake.ring_tasks();
        Ok(task)
    }

    /// # Errors
    /// When the database fails.
    pub async fn task(&self, id: TaskId) -> Result<Option<Task>> {
        let row: Option<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(FIND).bind(id.as_str()).fetch_optional(c).await
        })?;
        row.map(Task::try_from).transpose()
    }

    /// Tasks in any state or in one, of everybody or of one app.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tasks(
        &self,
        query: &PageQuery,
        status: Option<TaskStatus>,
        app: Option<AppId>,
    ) -> Result<Page<Task>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(&keyset.above).bind(&keyset.below)
            .bind(status.map_or("", TaskStatus::as_str)).bind(keyset.fetch())
            .bind(app.as_ref().map_or("", AppId::as_str))
            .fetch_all(c).await)?;
        let found = rows.into_iter().map(Task::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(found, |task| task.id.to_string()))
    }

    /// # Errors
    /// When the database fails.
    pub async fn running_tasks(&self) -> Result<Vec<Task>> {
        let rows: Vec<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(RUNNING).bind(MAX_RUNNING).fetch_all(c).await
        })?;
        rows.into_iter().map(Task::try_from).collect()
    }

    /// Writes a task's progress if it still runs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn advance_task_if_running(&self, task: &Task) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let advanced = advance(&mut tx, task, self.now()).await?;
        tx.commit().await?;
        Ok(advanced)
    }
}

/// Whether this process may work on the task in this transaction; the progress is then as it was
/// last written, perhaps by another process. SQLite has one writer; on PostgreSQL the row is
/// locked, and another process's lock means no.
pub(crate) async fn lock_if_running(tx: &mut Tx, task: &mut Task) -> Result<bool> {
    let id = task.id.as_str();
    let progress: Option<(String,)> = match tx {
        Tx::Sqlite(c) => {
            sqlx::query_as(PROGRESS_IF_RUNNING).bind(id).fetch_optional(&mut **c).await?
        }
        Tx::Postgres(c) => {
            sqlx::query_as(LOCK_IF_RUNNING).bind(id).fetch_optional(&mut **c).await?
        }
    };
    let Some((progress,)) = progress else { return Ok(false) };
    task.progress = rows::json(&progress)?;
    Ok(true)
}

pub(crate) async fn advance(tx: &mut Tx, task: &Task, now: Timestamp) -> Result<bool> {
    let progress = rows::to_json(&task.progress)?;
    let advanced = on!(tx, c => sqlx::query(ADVANCE_IF_RUNNING)
        .bind(task.id.as_str()).bind(task.status.as_str()).bind(progress).bind(now.0)
        .execute(&mut **c).await.map(|done| done.rows_affected()))?;
    Ok(advanced > 0)
}
