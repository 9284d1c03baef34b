//! What background tasks do to the queue, in steps: choose some, act, and write the progress in
//! the same transaction, so that a crash repeats nothing and forgets nothing.

use model::delivery::State;
use model::filter::Filter;
use model::task::{Selection, Task, Work};
use model::{AppId, DeliveryId, EndpointId, MessageId};

use crate::db::{Tx, on};
use crate::deliveries::Replay;
use crate::{Result, Store, rows, tasks};

/// Messages or deliveries looked at in one step.
const STEP: i64 = 500;

// A delivery is taken once per message: the newest, and only if no other one of the same
// message and endpoint is alive or succeeded when failures are recovered.
const DELIVERIES: &str = "select d.id, d.root_id, m.event_type, m.channels, m.tags, \
    (select count(*) from delivery x where x.id >= 'dlv_' || substr(m.id, 5) \
    and x.id < 'dlv_' || substr(m.id, 5) || '~' and x.endpoint_id = d.endpoint_id \
    and x.state in (0, 1, 2)) as others \
    from delivery d join message m on m.id = 'msg_' || substr(d.id, 5, 27) \
    where d.endpoint_id = $1 and d.id > $2 and d.id < $3 and ($4 < 0 or d.state = $4) \
    and ($5 = 0 or (d.last_status >= $5 and d.last_status < $5 + 100)) \
    and d.created_at <= $6 and m.payload is not null order by d.id limit $7";
const MISSING: &str = "select m.id, m.event_type, m.channels, m.tags from message m \
    where m.app_id = $1 and m.id > $2 and m.id < $3 and m.payload is not null \
    and not exists (select 1 from delivery d where d.id >= 'dlv_' || substr(m.id, 5) \
    and d.id < 'dlv_' || substr(m.id, 5) || '~' and d.endpoint_id = $4) order by m.id limit $5";

const PURGE_DELIVERIES: &str = "select id from delivery where endpoint_id = $1 limit $2";
const PURGE_MESSAGES: &str = "select id from message where app_id = $1 limit $2";
const DELETE_DELIVERY_ATTEMPTS: &str = "delete from attempt where id >= $1 and id < $2";
const DELETE_DELIVERY: &str = "delete from delivery where id = $1";
const DELETE_MESSAGE_DELIVERIES: &str = "delete from delivery where id >= $1 and id < $2";
const DELETE_MESSAGE: &str = "delete from message where id = $1";
const DELETE_USAGE: &str = "delete from usage where endpoint_id = $1";

/// Something that a task may deliver.
#[derive(Debug)]
struct Candidate {
    /// What the next step goes on after.
    cursor: String,
    message_id: MessageId,
    parent: Option<(DeliveryId, DeliveryId)>,
    event_type: String,
    channels: Vec<String>,
    tags: Vec<String>,
    /// Another delivery to the same endpoint lives or has succeeded.
    covered: bool,
}

#[derive(sqlx::FromRow)]
struct DeliveryCandidate {
    id: String,
    root_id: Option<String>,
    event_type: String,
    channels: Option<String>,
    tags: Option<String>,
    others: i64,
}

type MissingCandidate = (String, String, Option<String>, Option<String>);

impl Store {
    /// Does the next step of a task. False when another process does it, or when it is done.
    ///
    /// # Errors
    /// When the database fails; the step is repeated then.
    pub async fn step_task(&self, task: &mut Task, filter: &Filter) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        if !tasks::lock_if_running(&mut tx, task).await? {
            return Ok(false);
        }
        let done = match &task.work.clone() {
            Work::Recover(selection) => self.replay(&mut tx, task, selection, filter, true).await?,
            Work::BulkReplay(selection) => {
                self.replay(&mut tx, task, selection, filter, false).await?
            }
            Work::ReplayMissing(selection) => {
                self.replay_missing(&mut tx, task, selection, filter).await?
            }
            Work::Purge { app_id, endpoint_id: Some(endpoint) } => {
                self.purge_endpoint(&mut tx, task, *app_id, *endpoint).await?
            }
            Work::Purge { app_id, endpoint_id: None } => {
                self.purge_app(&mut tx, task, *app_id).await?
            }
        };
        if done {
            task.status = model::task::TaskStatus::Finished;
        }
        tasks::advance(&mut tx, task, self.now()).await?;
        tx.commit().await?;
        self.0.wake.ring_queue();
        Ok(true)
    }

    async fn replay(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        selection: &Selection,
        filter: &Filter,
        recover: bool,
    ) -> Result<bool> {
        let from = task.progress.cursor.clone();
        let from = from.unwrap_or_else(|| MessageId::floor(selection.since).delivery_range().0);
        let until = MessageId::floor(selection.until).delivery_range().0;
        let state = if recover { Some(State::Failed.code()) } else { selection.state };
        let rows: Vec<DeliveryCandidate> = on!(&mut *tx, c => sqlx::query_as(DELIVERIES)
            .bind(selection.endpoint_id.as_str())
            .bind(from)
            .bind(until)
            .bind(state.unwrap_or(-1))
            .bind(selection.status_code_class.map_or(0, i32::from))
            // What this task itself made is not replayed again.
            .bind(task.created_at.0)
            .bind(STEP)
            .fetch_all(&mut **c).await)?;
        let found = rows.into_iter().map(Candidate::from_delivery).collect::<Result<Vec<_>>>()?;
        self.deliver(tx, task, selection, filter, found, recover).await
    }

    async fn replay_missing(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        selection: &Selection,
        filter: &Filter,
    ) -> Result<bool> {
        let from = task.progress.cursor.clone();
        let from = from.unwrap_or_else(|| MessageId::floor(selection.since).to_string());
        let rows: Vec<MissingCandidate> = on!(&mut *tx, c => sqlx::query_as(MISSING)
            .bind(selection.app_id.as_str())
            .bind(from)
            .bind(MessageId::floor(selection.until).as_str())
            .bind(selection.endpoint_id.as_str())
            .bind(STEP)
            .fetch_all(&mut **c).await)?;
        let found = rows.into_iter().map(Candidate::from_message).collect::<Result<Vec<_>>>()?;
        self.deliver(tx, task, selection, filter, found, false).await
    }

    /// Makes a delivery of each wanted candidate. True when nothing is left.
    async fn deliver(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        selection: &Selection,
        filter: &Filter,
        candidates: Vec<Candidate>,
        recover: bool,
    ) -> Result<bool> {
        let last_step = i64::try_from(candidates.len()).unwrap_or(STEP) < STEP;
        // The step before may have ended between two deliveries of one message.
        let mut before = task.progress.cursor.as_deref().and_then(message_of);
        for candidate in candidates {
            task.progress.cursor = Some(candidate.cursor.clone());
            let repeated = before.replace(candidate.message_id) == Some(candidate.message_id);
            let covered = recover && candidate.covered;
            if repeated || covered || !candidate.is_wanted(selection, filter) {
                continue;
            }
            let replay = Replay {
                app_id: selection.app_id,
                endpoint_id: selection.endpoint_id,
                message_id: candidate.message_id,
                parent: candidate.parent,
            };
            task.progress.last_delivery = Some(self.insert_replay(tx, &replay).await?);
            task.progress.done += 1;
        }
        Ok(last_step)
    }

    async fn purge_endpoint(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        _app: AppId,
        endpoint: EndpointId,
    ) -> Result<bool> {
        let found: Vec<(String,)> = on!(&mut *tx, c => sqlx::query_as(PURGE_DELIVERIES)
            .bind(endpoint.as_str()).bind(STEP).fetch_all(&mut **c).await)?;
        for (id,) in &found {
            let delivery: DeliveryId = rows::id(id)?;
            let (low, high) = delivery.attempt_range();
            on!(&mut *tx, c => sqlx::query(DELETE_DELIVERY_ATTEMPTS)
                .bind(low).bind(high).execute(&mut **c).await.map(drop))?;
            on!(&mut *tx, c => sqlx::query(DELETE_DELIVERY)
                .bind(id).execute(&mut **c).await.map(drop))?;
            task.progress.done += 1;
        }
        if found.is_empty() {
            on!(&mut *tx, c => sqlx::query(DELETE_USAGE)
                .bind(endpoint.as_str()).execute(&mut **c).await.map(drop))?;
        }
        Ok(found.is_empty())
    }

    async fn purge_app(&self, tx: &mut Tx, task: &mut Task, app: AppId) -> Result<bool> {
        let found: Vec<(String,)> = on!(&mut *tx, c => sqlx::query_as(PURGE_MESSAGES)
            .bind(app.as_str()).bind(STEP).fetch_all(&mut **c).await)?;
        for (id,) in &found {
            let message: MessageId = rows::id(id)?;
            for (sql, (low, high)) in [
                (DELETE_DELIVERY_ATTEMPTS, message.attempt_range()),
                (DELETE_MESSAGE_DELIVERIES, message.delivery_range()),
            ] {
                on!(&mut *tx, c => sqlx::query(sql)
                    .bind(low).bind(high).execute(&mut **c).await.map(drop))?;
            }
            on!(&mut *tx, c => sqlx::query(DELETE_MESSAGE)
                .bind(id).execute(&mut **c).await.map(drop))?;
            task.progress.done += 1;
        }
        Ok(found.is_empty())
    }
}

/// The message of a cursor, which is the id of a delivery or of a message.
fn message_of(cursor: &str) -> Option<MessageId> {
    let delivery: Option<DeliveryId> = cursor.parse().ok();
    delivery.map(|id| id.message_id()).or_else(|| cursor.parse().ok())
}

impl Candidate {
    fn from_delivery(row: DeliveryCandidate) -> Result<Self> {
        let id: DeliveryId = rows::id(&row.id)?;
        let root = row.root_id.as_deref().map(rows::id).transpose()?.unwrap_or(id);
        Ok(Self {
            cursor: row.id,
            message_id: id.message_id(),
            parent: Some((id, root)),
            event_type: row.event_type,
            channels: rows::list(row.channels.as_deref())?,
            tags: rows::list(row.tags.as_deref())?,
            covered: row.others > 0,
        })
    }

    fn from_message((id, event_type, channels, tags): MissingCandidate) -> Result<Self> {
        Ok(Self {
            message_id: rows::id(&id)?,
            cursor: id,
            parent: None,
            event_type,
            channels: rows::list(channels.as_deref())?,
            tags: rows::list(tags.as_deref())?,
            covered: false,
        })
    }

    fn is_wanted(&self, selection: &Selection, filter: &Filter) -> bool {
        let types = &selection.event_types;
        filter.wants(&self.event_type, &self.channels)
            && (types.is_empty() || types.contains(&self.event_type))
            && selection.channel.as_ref().is_none_or(|channel| self.channels.contains(channel))
            && selection.tag.as_ref().is_none_or(|tag| self.tags.contains(tag))
    }
}
