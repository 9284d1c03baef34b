//! What happened to endpoints and their deliveries, as operational events.
//!
//! Whoever changed an endpoint announces it after the commit. What attempts came to is handed in
//! by the engine in batches; it says nothing of healthy traffic. The operations app itself is
//! never the subject: a delivery that fails there would make the next event, and so on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use model::app::App;
use model::audit::Actor;
use model::endpoint::{DisabledReason, Endpoint};
use model::{AppId, AttemptId, EndpointId, MessageId, Timestamp};
use serde_json::{Map, Value, json};

use crate::db::on;
use crate::operations::{Operation, event};
use crate::{AppRef, PublishError, Result, Store, StoreError};

/// Events of attempts that are taken at once.
pub const MAX_ATTEMPT_EVENTS: usize = 1_000;

const EVENT_ID: &str = "select event_id from message where id = $1 and app_id = $2";

/// What became of a delivery that does not go as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEventKind {
    /// It has failed several times and will be tried again.
    Failing,
    /// Its schedule is used up.
    Exhausted,
    /// It succeeded after it was said to be failing.
    Recovered,
}

impl AttemptEventKind {
    const fn event_type(self) -> &'static str {
        match self {
            Self::Failing => event::ATTEMPT_FAILING,
            Self::Exhausted => event::ATTEMPT_EXHAUSTED,
            Self::Recovered => event::ATTEMPT_RECOVERED,
        }
    }
}

/// An attempt that somebody may want to hear of.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptEvent {
    pub kind: AttemptEventKind,
    pub app_id: AppId,
    pub endpoint_id: EndpointId,
    pub endpoint_uid: Option<String>,
    pub attempt_id: AttemptId,
    /// When the attempt began.
    pub at: Timestamp,
    pub status_code: Option<u16>,
}

/// The endpoint of an event.
struct Subject<'a> {
    app: &'a App,
    endpoint_id: EndpointId,
    endpoint_uid: Option<&'a str>,
}

impl Subject<'_> {
    fn operation(
        &self,
        event_type: &'static str,
        what: &str,
        at: Timestamp,
        more: Map<String, Value>,
    ) -> Operation {
        let mut data = Map::new();
        data.insert("appUid".to_owned(), json!(self.app.uid));
        data.insert("endpointId".to_owned(), json!(self.endpoint_id));
        data.insert("endpointUid".to_owned(), json!(self.endpoint_uid));
        data.extend(more);
        let event_id = format!("{event_type}.{what}");
        Operation { event_type, app_id: Some(self.app.id), event_id, at, data }
    }
}

impl Store {
    /// Says what happened to an endpoint at a moment.
    pub(crate) async fn announce_endpoint(
        &self,
        event_type: &'static str,
        endpoint: &Endpoint,
        at: Timestamp,
    ) {
        let what = format!("{}.{}", endpoint.id, at.0);
        self.announce(event_type, endpoint, what, at, Map::new()).await;
    }

    /// The same with more to say. `what` tells the event from others of its type.
    pub(crate) async fn announce(
        &self,
        event_type: &'static str,
        endpoint: &Endpoint,
        what: String,
        at: Timestamp,
        more: Map<String, Value>,
    ) {
        let (store, endpoint) = (self.clone(), endpoint.clone());
        // A caller that goes away does not take the event with it.
        let announcing = tokio::spawn(async move {
            let said = store.announce_now(event_type, &endpoint, &what, at, more).await;
            if let Err(error) = said {
                tracing::error!(%error, event_type, endpoint = %endpoint.id, "an operational event is lost");
            }
        });
        // One that panicked has said so.
        let _ = announcing.await;
    }

    async fn announce_now(
        &self,
        event_type: &'static str,
        endpoint: &Endpoint,
        what: &str,
        at: Timestamp,
        mut more: Map<String, Value>,
    ) -> Result<()> {
        let Some(operations) = self.operations_app().await? else { return Ok(()) };
        if endpoint.app_id == operations {
            return Ok(());
        }
        let Some(app) = self.app(&AppRef::from(endpoint.app_id)).await? else { return Ok(()) };
        if event_type == event::ENDPOINT_DISABLED {
            more = self.why_disabled(endpoint).await?;
        }
        let subject =
            Subject { app: &app, endpoint_id: endpoint.id, endpoint_uid: endpoint.uid.as_deref() };
        self.try_publish_operation(subject.operation(event_type, what, at, more)).await;
        Ok(())
    }

    /// What an edit came to: switched on or off, or changed in another way.
    pub(crate) async fn announce_update(&self, before: &Endpoint, after: &Endpoint) {
        let at = after.updated_at;
        match (&before.disabled, &after.disabled) {
            (None, Some(disabled)) => {
                self.announce_endpoint(event::ENDPOINT_DISABLED, after, disabled.at).await;
            }
            (Some(_), None) => self.announce_endpoint(event::ENDPOINT_ENABLED, after, at).await,
            _ => {}
        }
        let switched = Endpoint {
            disabled: after.disabled.clone(),
            updated_at: after.updated_at,
            ..before.clone()
        };
        if switched != *after {
            self.announce_endpoint(event::ENDPOINT_UPDATED, after, at).await;
        }
    }

    async fn why_disabled(&self, endpoint: &Endpoint) -> Result<Map<String, Value>> {
        let mut more = Map::new();
        let Some(disabled) = &endpoint.disabled else { return Ok(more) };
        let is_by_hand = disabled.reason == DisabledReason::ByHand;
        let since = self.failing_since(endpoint.app_id, endpoint.id).await?;
        more.insert("failSince".to_owned(), json!(since.map(Timestamp::to_rfc3339)));
        let trigger = if is_by_hand { "manual" } else { "automatic" };
        more.insert("trigger".to_owned(), json!(trigger));
        more.insert("reason".to_owned(), json!(disabled.reason));
        more.insert("note".to_owned(), json!(disabled.note));
        Ok(more)
    }

    /// Publishes what attempts came to, at most [`MAX_ATTEMPT_EVENTS`]. Nothing is said of the
    /// operations app's own.
    ///
    /// # Errors
    /// When some could not be written. They can be handed in again, all of them.
    pub async fn publish_attempt_events(
        &self,
        events: &[AttemptEvent],
    ) -> Result<(), PublishError> {
        let unavailable = |error: StoreError| PublishError::Unavailable(error.to_string());
        let Some(own) = self.operations_app().await.map_err(unavailable)? else { return Ok(()) };
        let mut apps: HashMap<AppId, Option<App>> = HashMap::new();
        let mut operations = Vec::with_capacity(events.len().min(MAX_ATTEMPT_EVENTS));
        for event in events.iter().take(MAX_ATTEMPT_EVENTS).filter(|event| event.app_id != own) {
            let app = match apps.entry(event.app_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(free) => {
                    let app = self.app(&AppRef::from(event.app_id)).await.map_err(unavailable)?;
                    free.insert(app)
                }
            };
            let Some(app) = app else { continue };
            let message = event.attempt_id.message_id();
            let event_id = self.event_id_of(event.app_id, message).await.map_err(unavailable)?;
            operations.push(operation(event, app, message, event_id.as_deref()));
        }
        self.publish_operations(operations).await.map(drop)
    }

    async fn event_id_of(&self, app: AppId, message: MessageId) -> Result<Option<String>> {
        let row: Option<(Option<String>,)> = on!(self.db().reader(), c => {
            sqlx::query_as(EVENT_ID)
                .bind(message.as_str()).bind(app.as_str()).fetch_optional(c).await
        })?;
        Ok(row.and_then(|(event_id,)| event_id))
    }

    /// Disables an endpoint whose failure budget is used up.
    pub(crate) async fn disable_failing(&self, app: AppId, endpoint: EndpointId) -> Result<bool> {
        let by = Actor::system("failure budget");
        self.disable_endpoint_if_enabled(app, endpoint, DisabledReason::Failing, &by).await
    }
}

fn operation(
    event: &AttemptEvent,
    app: &App,
    message: MessageId,
    event_id: Option<&str>,
) -> Operation {
    let mut more = Map::new();
    more.insert("msgId".to_owned(), json!(message));
    more.insert("msgEventId".to_owned(), json!(event_id));
    let last_attempt = json!({
        "id": event.attempt_id,
        "timestamp": event.at.to_rfc3339(),
        "responseStatusCode": event.status_code.unwrap_or(0),
    });
    more.insert("lastAttempt".to_owned(), last_attempt);
    let subject = Subject {
        app,
        endpoint_id: event.endpoint_id,
        endpoint_uid: event.endpoint_uid.as_deref(),
    };
    // A delivery has each of these once.
    let what = event.attempt_id.delivery_id().to_string();
    subject.operation(event.kind.event_type(), &what, event.at, more)
}
