//! Erasing what messages contain, by whom they are about: payloads, and what receivers answered
//! to them.
//!
//! The value that is looked for is what is to be forgotten. It stands in its task sealed, and is
//! taken out when the task is over; the audit log has a keyed hash of it, and how many messages
//! it was found in.

use model::audit::{Actor, Change};
use model::json_path::{JsonPath, Scalar};
use model::task::{Erasure, Progress, Subject, Task, TaskStatus, Work};
use model::{AppId, MessageId, TaskId, Timestamp};
use serde_json::{Value, json};

use crate::db::{Tx, on};
use crate::{Result, Store, audit, rows, tasks};

/// Messages looked at in one step.
const STEP: i64 = 100;
/// Messages that a trial looks at.
pub const MAX_TRIED: u64 = 20_000;

const PAGE: &str = "select id, payload from message where app_id = $1 and id > $2 and id < $3 \
    and payload is not null order by id limit $4";
const ERASE: &str = "update message set payload = null where id = $1 and app_id = $2";
const ERASE_RESPONSES: &str = "update attempt set response_body = null \
    where id >= $1 and id < $2 and app_id = $3 and response_body is not null";
const FORGET_SUBJECT: &str = "update task set work = $2 where id = $1";

/// What the vault seals the value under.
const SEALED: &str = "erasure";

/// Whose messages, and from when.
#[derive(Clone, Debug, PartialEq)]
pub struct ErasureWish {
    pub app_id: AppId,
    /// None: all messages.
    pub subject: Option<(JsonPath, Scalar)>,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// What an erasure would find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasureTrial {
    pub matched: u64,
    pub looked_at: u64,
    /// False when there were more messages than a trial looks at.
    pub is_whole: bool,
}

impl ErasureWish {
    fn matches(&self, payload: &[u8]) -> bool {
        self.subject.as_ref().is_none_or(|(path, value)| path.finds(value, payload))
    }
}

impl Store {
    /// Counts what an erasure would find, the newest last, and erases nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn try_erasure(&self, wish: &ErasureWish) -> Result<ErasureTrial> {
        let mut trial = ErasureTrial::default();
        let mut after = first(wish.since);
        loop {
            let found: Vec<(String, Vec<u8>)> = on!(self.db().reader(), c => sqlx::query_as(PAGE)
                .bind(wish.app_id.as_str()).bind(&after)
                .bind(MessageId::floor(wish.until).as_str()).bind(STEP)
                .fetch_all(c).await)?;
            trial.looked_at += found.len() as u64;
            trial.matched += found.iter().filter(|(_, bytes)| wish.matches(bytes)).count() as u64;
            match found.into_iter().last() {
                None => return Ok(ErasureTrial { is_whole: true, ..trial }),
                Some(_) if trial.looked_at >= MAX_TRIED => return Ok(trial),
                Some((id, _)) => after = id,
            }
        }
    }

    /// Writes the task down that erases.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_contents(&self, wish: &ErasureWish, by: &Actor) -> Result<Task> {
        let subject =
            wish.subject.as_ref().map(|subject| self.seal_subject(subject)).transpose()?;
        let now = self.now();
        let erasure =
            Erasure { app_id: wish.app_id, since: wish.since, until: wish.until, subject };
        let shown = shown(&erasure);
        let task = Task {
            id: TaskId::new(now, self.entropy()),
            app_id: Some(wish.app_id),
            status: TaskStatus::Running,
            work: Work::Erase(erasure),
            progress: Progress::default(),
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.db().begin().await?;
        tasks::insert(&mut tx, &task).await?;
        let change = Change {
            action: "message.erase",
            target: task.id.to_string(),
            app_id: Some(wish.app_id),
            before: None,
            after: Some(shown),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.wake().ring_tasks();
        Ok(task)
    }

    fn seal_subject(&self, (path, value): &(JsonPath, Scalar)) -> Result<Subject> {
        let text = rows::to_json(value)?;
        let digest = self.derive(&format!("{SEALED} {path} {text}"));
        Ok(Subject {
            path: path.to_string(),
            sealed: Some(self.0.vault.seal(SEALED, text.as_bytes())?),
            digest: model::audit::hex(&digest),
        })
    }

    fn open_subject(&self, subject: &Subject) -> Result<(JsonPath, Scalar)> {
        let sealed = subject.sealed.as_deref().unwrap_or_default();
        let text = self.0.vault.open(SEALED, sealed)?;
        let value = serde_json::from_slice(&text);
        Ok((rows::id(&subject.path)?, value.map_err(|error| rows::corrupt("erasure", error))?))
    }

    /// The next messages of an erasure.
    pub(crate) async fn step_erasure(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        erasure: &Erasure,
    ) -> Result<()> {
        let wish = ErasureWish {
            app_id: erasure.app_id,
            subject: erasure.subject.as_ref().map(|it| self.open_subject(it)).transpose()?,
            since: erasure.since,
            until: erasure.until,
        };
        let after = task.progress.cursor.clone().unwrap_or_else(|| first(wish.since));
        let found: Vec<(String, Vec<u8>)> = on!(&mut *tx, c => sqlx::query_as(PAGE)
            .bind(wish.app_id.as_str()).bind(after)
            .bind(MessageId::floor(wish.until).as_str()).bind(STEP)
            .fetch_all(&mut **c).await)?;
        for (id, _) in found.iter().filter(|(_, payload)| wish.matches(payload)) {
            erase(tx, wish.app_id, &rows::id(id)?).await?;
            task.progress.done += 1;
        }
        match found.into_iter().last() {
            Some((id, _)) => task.progress.cursor = Some(id),
            None => self.end_erasure(tx, task, erasure).await?,
        }
        Ok(())
    }

    async fn end_erasure(&self, tx: &mut Tx, task: &mut Task, erasure: &Erasure) -> Result<()> {
        task.status = TaskStatus::Finished;
        let mut forgotten = erasure.clone();
        if let Some(subject) = &mut forgotten.subject {
            subject.sealed = None;
        }
        let mut shown = shown(erasure);
        shown["erased"] = json!(task.progress.done);
        task.work = Work::Erase(forgotten);
        let work = rows::to_json(&task.work)?;
        on!(&mut *tx, c => sqlx::query(FORGET_SUBJECT)
            .bind(task.id.as_str()).bind(work).execute(&mut **c).await.map(drop))?;
        let change = Change {
            action: "message.erased",
            target: task.id.to_string(),
            app_id: Some(erasure.app_id),
            before: None,
            after: Some(shown),
        };
        audit::append(self, tx, &Actor::system("erasure"), change).await
    }
}

async fn erase(tx: &mut Tx, app: AppId, message: &MessageId) -> Result<()> {
    on!(&mut *tx, c => sqlx::query(ERASE)
        .bind(message.as_str()).bind(app.as_str()).execute(&mut **c).await.map(drop))?;
    let (low, high) = message.attempt_range();
    on!(&mut *tx, c => sqlx::query(ERASE_RESPONSES)
        .bind(low).bind(high).bind(app.as_str()).execute(&mut **c).await.map(drop))?;
    Ok(())
}

/// Below every message of that moment.
fn first(since: Timestamp) -> String {
    let floor = MessageId::floor(since).to_string();
    floor.get(..floor.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

fn shown(erasure: &Erasure) -> Value {
    json!({
        "since": erasure.since.to_rfc3339(),
        "until": erasure.until.to_rfc3339(),
        "path": erasure.subject.as_ref().map(|subject| subject.path.as_str()),
        "valueHash": erasure.subject.as_ref().map(|subject| subject.digest.as_str()),
    })
}
