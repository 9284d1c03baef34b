//! Replays: deliveries made from earlier ones, by somebody and for a reason.
//!
//! A replay's row says who, what for and when; its task holds the selection and how far it is.
//! `step` does it, one transaction after the other; `links` makes the deliveries; `chain` and
//! `counts` read back what came of it.

mod candidates;
mod chain;
mod counts;
mod links;
mod resend;
mod step;

use model::audit::{Actor, Change};
use model::replay::{Counted, Kind, Options, Plan, Replay, Selection};
use model::task::{Progress, Task, TaskStatus, Work};
use model::{AppId, ReplayId, TaskId, Timestamp};
use sqlx::FromRow;

use crate::audit::{self, shown};
use crate::db::{Tx, on};
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, rows, tasks};

pub use candidates::Candidate;
pub use chain::{Chain, Link, MAX_LINKS};
pub use counts::{
    MAX_COUNTED, MAX_SAMPLE, MAX_SUMMED, Preview, RepeatedError, ReplayCounts, ReplaySums,
};
pub(crate) use links::Child;
pub use resend::Resend;

const INSERT: &str = "insert into replay (id, app_id, task_id, kind, actor, reason, created_at) \
    values ($1, $2, $3, $4, $5, $6, $7)";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select r.id, r.app_id, r.task_id, r.kind, r.actor, r.reason, r.created_at, \
             t.status, t.work, t.progress, t.created_at as task_created_at, t.updated_at \
             from replay r left join task t on t.id = r.task_id where r.app_id = $1 ",
            $rest
        )
    };
}

const FIND: &str = select!("and r.id = $2");
const LIST_ASCENDING: &str =
    select!("and r.id > $2 and r.id < $3 and ($4 = '' or r.kind = $4) order by r.id limit $5");
const LIST_DESCENDING: &str =
    select!("and r.id > $2 and r.id < $3 and ($4 = '' or r.kind = $4) order by r.id desc limit $5");

/// A replay that is asked for.
#[derive(Clone, Debug)]
pub struct NewReplay {
    pub kind: Kind,
    pub selection: Selection,
    pub options: Options,
    /// How many are selected, if somebody counted.
    pub selected: Option<Counted>,
    pub reason: Option<String>,
}

impl NewReplay {
    /// As fast as receivers take it, with the ids that the messages have.
    #[must_use]
    pub fn new(kind: Kind, selection: Selection) -> Self {
        Self { kind, selection, options: Options::default(), selected: None, reason: None }
    }
}

#[derive(FromRow)]
struct Row {
    id: String,
    app_id: String,
    task_id: Option<String>,
    kind: String,
    actor: String,
    reason: Option<String>,
    created_at: i64,
    status: Option<String>,
    work: Option<String>,
    progress: Option<String>,
    task_created_at: Option<i64>,
    updated_at: Option<i64>,
}

impl Row {
    fn task(&self, app_id: AppId, id: TaskId) -> Result<Option<Task>> {
        let (Some(status), Some(work), Some(progress)) = (&self.status, &self.work, &self.progress)
        else {
            return Ok(None);
        };
        Ok(Some(Task {
            id,
            app_id: Some(app_id),
            status: TaskStatus::parse(status),
            work: rows::json(work)?,
            progress: rows::json(progress)?,
            created_at: Timestamp(self.task_created_at.unwrap_or(self.created_at)),
            updated_at: Timestamp(self.updated_at.unwrap_or(self.created_at)),
        }))
    }
}

impl TryFrom<Row> for Replay {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let app_id = rows::id(&row.app_id)?;
        let task_id: Option<TaskId> = row.task_id.as_deref().map(rows::id).transpose()?;
        let task = task_id.map(|id| row.task(app_id, id)).transpose()?.flatten();
        Ok(Self {
            id: rows::id(&row.id)?,
            app_id,
            kind: Kind::parse(&row.kind),
            by: rows::json(&row.actor)?,
            reason: row.reason,
            task_id,
            task,
            created_at: Timestamp(row.created_at),
        })
    }
}

impl Store {
    /// Writes a replay down, with the task that does it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start_replay(&self, wish: NewReplay, by: &Actor) -> Result<Replay> {
        let now = self.now();
        let app_id = wish.selection.app_id;
        let id = ReplayId::new(now, self.entropy());
        let plan = Plan {
            replay_id: Some(id),
            selection: wish.selection,
            options: wish.options,
            selected: wish.selected,
        };
        let work = match wish.kind {
            Kind::Recover => Work::Recover(plan),
            Kind::Missing => Work::ReplayMissing(plan),
            Kind::Bulk | Kind::Resend => Work::BulkReplay(plan),
        };
        let task = Task {
            id: TaskId::new(now, self.entropy()),
            app_id: Some(app_id),
            status: TaskStatus::Running,
            work,
            progress: Progress::default(),
            created_at: now,
            updated_at: now,
        };
        let replay = Replay {
            id,
            app_id,
            kind: wish.kind,
            by: by.clone(),
            reason: wish.reason,
            task_id: Some(task.id),
            task: None,
            created_at: now,
        };
        let mut tx = self.db().begin().await?;
        tasks::insert(&mut tx, &task).await?;
        insert(&mut tx, &replay).await?;
        let change = Change {
            action: "replay.create",
            target: id.to_string(),
            app_id: Some(app_id),
            before: None,
            after: Some(shown::replay(&replay, &task)),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.wake.ring_tasks();
        Ok(Replay { task: Some(task), ..replay })
    }

    /// # Errors
    /// When the database fails.
    pub async fn replay_in_app(&self, app: AppId, id: ReplayId) -> Result<Option<Replay>> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(app.as_str()).bind(id.as_str()).fetch_optional(c).await)?;
        row.map(Replay::try_from).transpose()
    }

    /// Of all kinds or of one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replays_in_app(
        &self,
        app: AppId,
        query: &PageQuery,
        kind: Option<Kind>,
    ) -> Result<Page<Replay>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(app.as_str())
            .bind(&keyset.above)
            .bind(&keyset.below)
            .bind(kind.map_or("", Kind::as_str))
            .bind(keyset.fetch())
            .fetch_all(c).await)?;
        let found = rows.into_iter().map(Replay::try_from).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(found, |replay| replay.id.to_string()))
    }
}

async fn insert(tx: &mut Tx, replay: &Replay) -> Result<()> {
    let actor = rows::to_json(&replay.by)?;
    on!(tx, c => sqlx::query(INSERT)
        .bind(replay.id.as_str())
        .bind(replay.app_id.as_str())
        .bind(replay.task_id.as_ref().map(TaskId::as_str))
        .bind(replay.kind.as_str())
        .bind(actor)
        .bind(replay.reason.as_deref())
        .bind(replay.created_at.0)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}
