//! Background tasks: long work that survives a restart.

use model::audit::{Actor, Change};
use model::task::{Progress, Task, TaskStatus, Work};
use model::{AppId, TaskId, Timestamp};
use serde_json::json;
use sqlx::FromRow;

use crate::audit::{self, shown};
use crate::db::{Tx, on};
use crate::operations::{Operation, event};
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, rows};

/// Running tasks looked at in one round.
const MAX_RUNNING: i64 = 128;

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
     and ($3 = '' or replace($3, ',' || status || ',', '') <> $3) and ($5 = '' or app_id = $5) order by id limit $4"
);
const LIST_DESCENDING: &str = concat!(
    "select ",
    columns!(),
    " from task where id > $1 and id < $2 \
     and ($3 = '' or replace($3, ',' || status || ',', '') <> $3) and ($5 = '' or app_id = $5) order by id desc limit $4"
);
const CHANGE: &str = "update task set status = $2, updated_at = $3 \
    where id = $1 and (status = $4 or status = $5)";
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
        let mut tx = self.db().begin().await?;
        insert(&mut tx, &task).await?;
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

    /// Tasks in any state or in some, of everybody or of one app.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tasks(
        &self,
        query: &PageQuery,
        statuses: &[TaskStatus],
        app: Option<AppId>,
    ) -> Result<Page<Task>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(&keyset.above).bind(&keyset.below)
            .bind(joined(statuses)).bind(keyset.fetch())
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

    /// Pauses a task, goes on with it, or ends it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_task(&self, id: TaskId, verb: TaskVerb, by: &Actor) -> Result<TaskChange> {
        let Some(before) = self.task(id).await? else { return Ok(TaskChange::NotFound) };
        let mut tx = self.db().begin().await?;
        let (from, or, to) = verb.moves();
        let changed = on!(&mut tx, c => sqlx::query(CHANGE)
            .bind(id.as_str()).bind(to.as_str()).bind(self.now().0)
            .bind(from.as_str()).bind(or.as_str())
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if changed == 0 {
            drop(tx);
            let status = self.task(id).await?.map(|task| task.status);
            return Ok(status.map_or(TaskChange::NotFound, TaskChange::TooLate));
        }
        let change = Change {
            action: verb.action(),
            target: id.to_string(),
            app_id: before.app_id,
            before: Some(shown::task_status(before.status)),
            after: Some(shown::task_status(to)),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.wake.ring_tasks();
        let after = self.task(id).await?;
        Ok(after.map_or(TaskChange::NotFound, |task| TaskChange::Changed(Box::new(task))))
    }

    /// Does the next step of a task, in one transaction with its progress.
    ///
    /// # Errors
    /// When the database fails; the step is repeated then.
    pub async fn step_task(&self, task: &mut Task) -> Result<Step> {
        let mut tx = self.db().begin().await?;
        if !lock_if_running(&mut tx, task).await? {
            return Ok(Step::NotOurs);
        }
        let work = task.work.clone();
        let step = match (&work, work.plan()) {
            (_, Some((kind, plan))) => self.step_replay(&mut tx, task, kind, plan).await?,
            (Work::Purge { app_id, endpoint_id: Some(endpoint) }, None) => {
                let is_done = self.purge_endpoint(&mut tx, task, *app_id, *endpoint).await?;
                end_if(is_done, task)
            }
            (Work::Purge { app_id, .. }, None) => {
                let is_done = self.purge_app(&mut tx, task, *app_id).await?;
                end_if(is_done, task)
            }
            (Work::Reseal { .. }, None) => self.reseal_step(&mut tx, task).await?,
            (Work::Erase(erasure), None) => {
                self.step_erasure(&mut tx, task, erasure).await?;
                Step::Moved
            }
            // Every other work has a plan.
            (_, None) => end_if(true, task),
        };
        if step == Step::Moved {
            advance(&mut tx, task, self.now()).await?;
        }
        // Dropped, it would keep the task locked a little longer.
        tx.commit().await?;
        if step == Step::Moved {
            self.0.wake.ring_queue();
        }
        if task.status.is_final() {
            self.try_publish_operation(ended(task, self.now())).await;
        }
        Ok(step)
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done, and the task may be over.
    Moved,
    /// What was made before comes first: look again in a moment.
    Crowded,
    /// Its rate allows nothing before.
    Wait(Timestamp),
    /// Another process does it, or it no longer runs.
    NotOurs,
}

/// What somebody does to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskVerb {
    Pause,
    Resume,
    Cancel,
}

impl TaskVerb {
    /// From one of two states into another.
    const fn moves(self) -> (TaskStatus, TaskStatus, TaskStatus) {
        match self {
            Self::Pause => (TaskStatus::Running, TaskStatus::Running, TaskStatus::Paused),
            Self::Resume => (TaskStatus::Paused, TaskStatus::Paused, TaskStatus::Running),
            Self::Cancel => (TaskStatus::Running, TaskStatus::Paused, TaskStatus::Canceled),
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Pause => "task.pause",
            Self::Resume => "task.resume",
            Self::Cancel => "task.cancel",
        }
    }
}

/// What became of that.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskChange {
    Changed(Box<Task>),
    /// It is in a state in which that cannot be done.
    TooLate(TaskStatus),
    NotFound,
}

const fn end_if(is_done: bool, task: &mut Task) -> Step {
    if is_done {
        task.status = TaskStatus::Finished;
    }
    Step::Moved
}

fn ended(task: &Task, at: Timestamp) -> Operation {
    let replay = task.work.plan().and_then(|(_, plan)| plan.replay_id);
    let data = json!({
        "taskId": task.id,
        "task": task.work.kind(),
        "status": task.status,
        "replayId": replay,
        "done": task.progress.done,
        "error": task.progress.error,
    });
    Operation {
        event_type: event::BACKGROUND_TASK_FINISHED,
        app_id: task.app_id,
        event_id: format!("task-finished.{}", task.id),
        at,
        data: data.as_object().cloned().unwrap_or_default(),
    }
}

/// `,a,b,`: a list that both databases can search with `replace`.
fn joined(statuses: &[TaskStatus]) -> String {
    if statuses.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    format!(",{},", names.join(","))
}

pub(crate) async fn insert(tx: &mut Tx, task: &Task) -> Result<()> {
    let (work, progress) = (rows::to_json(&task.work)?, rows::to_json(&task.progress)?);
    on!(tx, c => sqlx::query(INSERT)
        .bind(task.id.as_str())
        .bind(task.app_id.as_ref().map(AppId::as_str))
        .bind(task.status.as_str())
        .bind(work)
        .bind(progress)
        .bind(task.created_at.0)
        .bind(task.updated_at.0)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
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
