//! Ingest: a publisher hands in messages and learns when they and their deliveries are durable.
//!
//! One batch goes through four steps: ask for the versions of its apps ([`routes`]), look up
//! what carries an id that may have been seen before, plan ([`plan`]: which endpoints, which
//! deliveries start here at once), and insert. After the commit each caller gets its own answers
//! and the deliveries that this process leased are handed over in memory.
//!
//! [`routes`]: crate::routes

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use model::message::Outcome;
use model::{EndpointId, MessageId, Timestamp};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::plan::{self, Plan};
use super::{Conn, postgres, sqlite};
use crate::db::Either;
use crate::routes::{AppRoutes, AppVersion};
use crate::{AppRef, Lease, Result, Store};

/// How long an `Idempotency-Key` answers for its first request.
const IDEMPOTENCY_WINDOW_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Clone, Debug)]
pub struct NewMessage {
    pub app: AppRef,
    pub event_type: String,
    pub event_id: Option<String>,
    pub payload: Bytes,
    pub content_type: Option<String>,
    pub channels: Vec<String>,
    pub tags: Vec<String>,
    pub deliver_at: Option<Timestamp>,
    pub payload_retention_ms: Option<u64>,
    pub idempotency_key: Option<String>,
    /// Only to this endpoint, whatever its filter: a sample.
    pub only_endpoint: Option<EndpointId>,
}

/// A message that is durable, with its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    pub id: MessageId,
    pub created_at: Timestamp,
    pub outcome: Outcome,
    /// It was published before, under the same idempotency key.
    pub repeated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("no such app")]
    AppNotFound,
    #[error("the event id was used before")]
    EventIdTaken,
    #[error("the idempotency key was used before for another message")]
    IdempotencyMismatch,
    #[error("too many requests wait to be written")]
    Overloaded,
    #[error("not written: {0}")]
    Unavailable(String),
}

pub(crate) type Answer = Result<Published, PublishError>;

/// What one request hands in, and where its answers go.
#[derive(Debug)]
pub(crate) struct Job {
    pub messages: Vec<NewMessage>,
    pub answer: oneshot::Sender<Vec<Answer>>,
}

impl Store {
    /// Publishes one message: durable, with its deliveries, when this returns.
    ///
    /// # Errors
    /// When it was refused, or could not be written.
    pub async fn ingest(&self, message: NewMessage) -> Answer {
        let mut answers = self.ingest_batch(vec![message]).await?;
        answers.pop().unwrap_or(Err(PublishError::Overloaded))
    }

    /// Publishes several messages in one commit, with an answer for each.
    ///
    /// # Errors
    /// When none could be written.
    pub async fn ingest_batch(
        &self,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Answer>, PublishError> {
        let (answer, answered) = oneshot::channel();
        self.0.hot.ingest.try_send(Job { messages, answer }).map_err(|error| match error {
            TrySendError::Full(_) => PublishError::Overloaded,
            TrySendError::Closed(_) => PublishError::Unavailable("shutting down".to_owned()),
        })?;
        answered.await.map_err(|_| PublishError::Unavailable("shutting down".to_owned()))
    }
}

/// A batch that was written but perhaps not yet committed.
pub(crate) struct Applied {
    answers: Vec<Answer>,
    fresh: Vec<Lease>,
    queued: bool,
}

impl Applied {
    /// It was rolled back: gives back the slots that were taken for it.
    pub fn withdraw(&self, store: &Store) {
        store.0.slots.withdraw(&self.fresh);
    }
}

/// Writes a batch through `conn`. The caller commits, then calls [`finish`].
pub(crate) async fn apply(store: &Store, conn: &mut Conn<'_>, jobs: &[Job]) -> Result<Applied> {
    let messages: Vec<&NewMessage> = jobs.iter().flat_map(|job| &job.messages).collect();
    let apps = resolve_apps(store, conn, &messages).await?;
    let by_type = store.schedules_by_type().await?;
    let seen = look_up(store, conn, &messages, &apps).await?;
    let mut plan = plan::make(store, &messages, &apps, &seen, &by_type);
    store.0.slots.note_fan_out(plan.messages.len(), plan.deliveries.len());
    if let Err(error) = insert(store, conn, &messages, &mut plan).await {
        store.0.slots.withdraw(&plan.fresh);
        return Err(error);
    }
    Ok(Applied { queued: !plan.due_by_lane.is_empty(), fresh: plan.fresh, answers: plan.answers })
}

async fn insert(
    store: &Store,
    conn: &mut Conn<'_>,
    messages: &[&NewMessage],
    plan: &mut Plan,
) -> Result<()> {
    if plan.messages.is_empty() {
        return Ok(());
    }
    match conn {
        Either::Sqlite(c) => sqlite::insert(c, messages, plan, store.0.node),
        Either::Postgres(c) => {
            let missed = postgres::insert(c, messages, plan, store.0.node).await?;
            // Another process was first with the same event id or idempotency key.
            if !missed.is_empty() {
                plan.drop_missed(store, &missed);
            }
            Ok(())
        }
    }
}

/// Answers the callers and hands over what this process leased.
pub(crate) fn finish(store: &Store, jobs: Vec<Job>, applied: Applied) {
    let mut answers = applied.answers.into_iter();
    for job in jobs {
        let own = answers.by_ref().take(job.messages.len()).collect();
        // A caller that went away needs no answer.
        let _ = job.answer.send(own);
    }
    store.0.slots.hand_over(applied.fresh);
    if applied.queued {
        store.0.wake.ring_queue();
    }
}

/// Tells every caller that nothing was written, and frees the slots that were taken for it.
pub(crate) fn fail(store: &Store, jobs: Vec<Job>, applied: Option<Applied>, why: &str) {
    if let Some(applied) = applied {
        applied.withdraw(store);
    }
    for job in jobs {
        let error = Err(PublishError::Unavailable(why.to_owned()));
        let _ = job.answer.send(vec![error; job.messages.len()]);
    }
}

/// The apps that a batch names, by the text that names them.
pub(crate) type Apps = HashMap<String, Arc<AppRoutes>>;

async fn resolve_apps(
    store: &Store,
    conn: &mut Conn<'_>,
    messages: &[&NewMessage],
) -> Result<Apps> {
    let mut names: Vec<&str> = messages.iter().map(|message| message.app.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let versions: Vec<AppVersion> = match conn {
        Either::Sqlite(c) => sqlite::app_versions(c, &names)?,
        Either::Postgres(c) => postgres::app_versions(c, &names).await?,
    };
    let mut apps = Apps::new();
    for version in versions {
        let routes = store.app_routes(&version).await?;
        for name in [Some(version.id), version.uid].into_iter().flatten() {
            apps.insert(name, routes.clone());
        }
    }
    Ok(apps)
}

/// A stored message that carries an event id or idempotency key of this batch.
#[derive(sqlx::FromRow)]
pub(crate) struct Known {
    pub id: String,
    pub app_id: String,
    pub event_type: String,
    pub event_id: Option<String>,
    pub idempotency_key: Option<String>,
    pub payload: Option<Vec<u8>>,
    pub content_type: Option<String>,
    pub channels: Option<String>,
    pub tags: Option<String>,
    pub deliver_at: Option<i64>,
    pub outcome: i16,
    pub created_at: i64,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// What is stored of each message's idempotency key, by its place in the batch.
    pub digests: HashMap<usize, String>,
    pub by_key: HashMap<String, Known>,
    pub by_event_id: HashMap<(String, String), Known>,
}

async fn look_up(
    store: &Store,
    conn: &mut Conn<'_>,
    messages: &[&NewMessage],
    apps: &Apps,
) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut event_ids = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let Some(app) = apps.get(message.app.as_str()) else { continue };
        if let Some(key) = &message.idempotency_key {
            let digest = model::message::idempotency_digest(&app.app_id, key);
            seen.digests.insert(at, digest);
        }
        if let Some(event_id) = &message.event_id {
            event_ids.push((app.app_id.to_string(), event_id.as_str()));
        }
    }
    if !seen.digests.is_empty() {
        let keys: Vec<String> = seen.digests.values().cloned().collect();
        let expired = store.now().minus_ms(IDEMPOTENCY_WINDOW_MS);
        let found = match conn {
            Either::Sqlite(c) => sqlite::by_idempotency_key(c, &keys, expired)?,
            Either::Postgres(c) => postgres::by_idempotency_key(c, &keys, expired).await?,
        };
        let keyed = |known: Known| Some((known.idempotency_key.clone()?, known));
        seen.by_key = found.into_iter().filter_map(keyed).collect();
    }
    if !event_ids.is_empty() {
        let found = match conn {
            Either::Sqlite(c) => sqlite::by_event_id(c, &event_ids)?,
            Either::Postgres(c) => postgres::by_event_id(c, &event_ids).await?,
        };
        let keyed = |known: Known| Some(((known.app_id.clone(), known.event_id.clone()?), known));
        seen.by_event_id = found.into_iter().filter_map(keyed).collect();
    }
    Ok(seen)
}
