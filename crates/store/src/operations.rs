//! Operational events: what whoever runs the instance wants to hear of.
//!
//! They are ordinary messages in the app with the uid [`OPERATIONS_UID`], where there is one: it
//! has endpoints, retries and a log as every app has. An event's id says what happened, so that
//! several nodes, and a node after a crash, may all publish it and it is there once. None of
//! them holds a secret.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::{AppId, Timestamp};
use serde_json::{Map, Value, json};

use crate::{AppRef, NewMessage, PublishError, Result, Store};

/// The uid of the app that operational events are published into.
pub const OPERATIONS_UID: &str = "operations";
/// How long it is taken for granted that there is no such app.
const ABSENT_MS: u64 = 5_000;
/// Events of one commit.
const MAX_BATCH: usize = 500;
/// Events that could not be written are handed in so often.
const MAX_TRIES: u32 = 3;
/// Characters of an event id that tell apart what somebody else has written.
const MAX_FOREIGN: usize = 128;

/// The types of the events.
pub mod event {
    pub const KEY_EXPIRING: &str = "key.expiring";
    pub const KEY_EXPIRED: &str = "key.expired";
    pub const KEY_ROTATION_DUE: &str = "key.rotation_due";
    pub const KEY_ROTATED: &str = "key.rotated";
    pub const KEY_REVOKED: &str = "key.revoked";
    pub const KEY_OLD_SECRET_USED: &str = "key.old_secret_used";
    pub const KEY_TAMPERED: &str = "key.tampered";
    pub const AUDIT_TAMPERED: &str = "audit.tampered";
    pub const ENDPOINT_CREATED: &str = "endpoint.created";
    pub const ENDPOINT_UPDATED: &str = "endpoint.updated";
    pub const ENDPOINT_DELETED: &str = "endpoint.deleted";
    pub const ENDPOINT_ENABLED: &str = "endpoint.enabled";
    pub const ENDPOINT_DISABLED: &str = "endpoint.disabled";
    pub const ENDPOINT_FAILING: &str = "endpoint.failing";
    pub const ATTEMPT_FAILING: &str = "message.attempt.failing";
    pub const ATTEMPT_EXHAUSTED: &str = "message.attempt.exhausted";
    pub const ATTEMPT_RECOVERED: &str = "message.attempt.recovered";
    pub const BACKGROUND_TASK_FINISHED: &str = "background_task.finished";
    pub const BREAKER_OPENED: &str = "endpoint.breaker.opened";
    pub const BREAKER_CLOSED: &str = "endpoint.breaker.closed";
    pub const SECRET_ROTATED: &str = "endpoint.secret.rotated";
    pub const SECRET_ROTATION_DUE: &str = "endpoint.secret.rotation_due";
    pub const WINDOW_STARTED: &str = "window.started";
    pub const WINDOW_ENDED: &str = "window.ended";
}

/// One event on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// One of [`event`].
    pub event_type: &'static str,
    /// Whose affair it is; none: the instance's.
    pub app_id: Option<AppId>,
    /// The same for everybody who says the same.
    pub event_id: String,
    pub at: Timestamp,
    pub data: Map<String, Value>,
}

impl Operation {
    fn into_message(self) -> NewMessage {
        let mut data = self.data;
        data.insert("appId".to_owned(), json!(self.app_id));
        let payload = json!({
            "type": self.event_type,
            "timestamp": self.at.to_rfc3339(),
            "data": data,
        });
        NewMessage {
            app: AppRef::new(OPERATIONS_UID),
            event_type: self.event_type.to_owned(),
            event_id: Some(self.event_id),
            payload: Bytes::from(payload.to_string()),
            content_type: None,
            channels: Vec::new(),
            tags: Vec::new(),
            deliver_at: None,
            payload_retention_ms: None,
            idempotency_key: None,
            only_endpoint: None,
        }
    }
}

/// Remembers for a moment that nobody wants to hear anything.
pub(crate) struct Operations {
    /// By the clock's elapsed time; 0: not known.
    absent_until_ms: AtomicU64,
}

impl Operations {
    pub fn new() -> Self {
        Self { absent_until_ms: AtomicU64::new(0) }
    }

    /// An app was made or renamed here: it may be the one.
    pub fn look_again(&self) {
        self.absent_until_ms.store(0, Ordering::Relaxed);
    }
}

impl Store {
    /// Whether somebody wants to hear of operations.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_operations_app(&self) -> Result<bool> {
        Ok(self.operations_app().await?.is_some())
    }

    /// Where operations are heard of, if somewhere.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn operations_app(&self) -> Result<Option<AppId>> {
        if self.operations_are_absent() {
            return Ok(None);
        }
        let app = self.app(&AppRef::new(OPERATIONS_UID)).await?;
        if app.is_none() {
            self.note_absence();
        }
        Ok(app.map(|app| app.id))
    }

    /// Publishes events; one that was published before is fine. False when there is no app to
    /// publish into.
    ///
    /// # Errors
    /// When some could not be written. They can be handed in again, all of them.
    pub async fn publish_operations(
        &self,
        operations: Vec<Operation>,
    ) -> Result<bool, PublishError> {
        let mut messages = operations.into_iter().map(Operation::into_message);
        loop {
            let batch: Vec<NewMessage> = messages.by_ref().take(MAX_BATCH).collect();
            if batch.is_empty() {
                return Ok(true);
            }
            if self.operations_are_absent() {
                return Ok(false);
            }
            if !self.publish_batch(batch).await? {
                self.note_absence();
                return Ok(false);
            }
        }
    }

    /// False when there is no app.
    async fn publish_batch(&self, batch: Vec<NewMessage>) -> Result<bool, PublishError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answers = self.ingest_batch(batch.clone()).await?;
            let mut refused = answers.into_iter().filter_map(Result::err);
            match refused.find(|error| *error != PublishError::EventIdTaken) {
                None => return Ok(true),
                Some(PublishError::AppNotFound) => return Ok(false),
                // Another node publishes the same at this moment, for instance.
                Some(PublishError::Unavailable(_)) if tries < MAX_TRIES => {}
                Some(error) => return Err(error),
            }
        }
    }

    /// As [`Store::publish_operations`], where nothing can be done about a failure.
    pub(crate) async fn try_publish_operation(&self, operation: Operation) {
        let event_id = operation.event_id.clone();
        if let Err(error) = self.publish_operations(vec![operation]).await {
            tracing::error!(%error, event_id, "an operational event is lost");
        }
    }

    fn operations_are_absent(&self) -> bool {
        self.elapsed_ms() < self.0.operations.absent_until_ms.load(Ordering::Relaxed)
    }

    fn note_absence(&self) {
        let until = self.elapsed_ms() + ABSENT_MS;
        self.0.operations.absent_until_ms.store(until, Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.clock().elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// A text that somebody else may have written, as a part of an event id.
pub(crate) fn as_name(text: &str) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    text.chars().take(MAX_FOREIGN).map(good).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_part_of_an_event_id() {
        let name = as_name(&format!("kéy 1'; drop{}", "x".repeat(1_000)));
        assert!(name.starts_with("k_y_1___dropxxx"), "{name}");
        model::name::check_name(&name, model::name::MAX_NAME_LEN).unwrap();
    }
}
