//! What happened to a key, as operational events. None holds a token or anything of a secret but
//! its id.

use model::Timestamp;
use model::key::Key;
use serde_json::{Map, Value, json};
use store::Operation;
use store::operations::event;

use crate::Keys;

/// The new secret of a key, and what became of the one before.
#[derive(Clone, Copy)]
pub(crate) struct Renewed<'a> {
    pub key: &'a Key,
    pub secret_id: &'a str,
    pub at: Timestamp,
    pub old_ends_at: Option<Timestamp>,
    /// By a policy: until when the new token can be collected.
    pub collect_until: Option<Timestamp>,
}

/// An event about a key. `what` tells it from others of its type; it becomes a part of its id.
pub(crate) fn of_key<const N: usize>(
    key: &Key,
    event_type: &'static str,
    what: &str,
    at: Timestamp,
    more: [(&str, Value); N],
) -> Operation {
    let known = [
        ("keyId", json!(key.id)),
        ("keyspaceId", json!(key.keyspace_id)),
        ("name", json!(key.name)),
        ("owner", json!(key.owner)),
        ("environment", json!(key.environment)),
    ];
    let data: Map<String, Value> =
        known.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect();
    Operation { event_type, app_id: key.app_id, event_id: format!("{event_type}.{what}"), at, data }
}

pub(crate) fn expiring(key: &Key, expires_at: Timestamp, days: u64, now: Timestamp) -> Operation {
    let what = format!("{}.{}.{days}", key.id, expires_at.0);
    let more = [("expiresAt", moment(Some(expires_at))), ("days", json!(days))];
    of_key(key, event::KEY_EXPIRING, &what, now, more)
}

pub(crate) fn expired(key: &Key, expires_at: Timestamp) -> Operation {
    let what = format!("{}.{}", key.id, expires_at.0);
    let more = [("expiresAt", moment(Some(expires_at)))];
    of_key(key, event::KEY_EXPIRED, &what, expires_at, more)
}

pub(crate) fn rotated(renewed: Renewed<'_>) -> Operation {
    let Renewed { key, secret_id, at, old_ends_at, collect_until } = renewed;
    let more = [
        ("secretId", json!(secret_id)),
        ("oldEndsAt", moment(old_ends_at)),
        ("byPolicy", json!(collect_until.is_some())),
        ("collectUntil", moment(collect_until)),
    ];
    of_key(key, event::KEY_ROTATED, secret_id, at, more)
}

/// None when it is not revoked.
pub(crate) fn revoked(key: &Key) -> Option<Operation> {
    let revocation = key.revoked.as_ref()?;
    let more = [("reason", json!(revocation.reason)), ("note", json!(revocation.note))];
    Some(of_key(key, event::KEY_REVOKED, key.id.as_str(), revocation.at, more))
}

pub(crate) fn moment(at: Option<Timestamp>) -> Value {
    json!(at.map(Timestamp::to_rfc3339))
}

impl Keys {
    /// Says what was done. A caller that goes away does not take the event with it.
    pub(crate) async fn announce(&self, operations: Vec<Operation>) {
        let store = self.0.store.clone();
        let publishing = tokio::spawn(async move {
            if let Err(error) = store.publish_operations(operations).await {
                tracing::error!(%error, "operational events about keys are lost");
            }
        });
        // One that panicked has said so.
        let _ = publishing.await;
    }
}
