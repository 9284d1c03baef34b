//! The audit log: who changed what, from where, with what was before and after. It is only read.

pub mod export;
pub mod list;
pub mod verify;

use model::audit::{Actor, ActorKind, Entry};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{AuditQuery, PageQuery};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::problem::Result;
use crate::wire::Moment;

/// What the log can be narrowed by.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditFilter {
    /// A whole action such as `endpoint.update`, or its noun, `endpoint`.
    #[serde(default)]
    action: Option<String>,
    /// The id of what was changed; of an event type, its name.
    #[serde(default)]
    target: Option<String>,
    /// Only changes in the application with this id. Whoever has to do with several has to name
    /// one.
    #[serde(default)]
    app: Option<String>,
    /// Who made the change, by id or name.
    #[serde(default)]
    actor: Option<String>,
    /// Only changes from this moment on.
    #[serde(default)]
    since: Option<Moment>,
    /// Only changes before this moment.
    #[serde(default)]
    until: Option<Moment>,
}

impl AuditFilter {
    fn query(self, caller: &Caller, page: PageQuery) -> Result<AuditQuery> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(AuditQuery {
            page,
            app: caller.app_filter(self.app.as_deref())?,
            action: given(self.action),
            target: given(self.target),
            actor: given(self.actor),
            since: self.since.map(|moment| moment.0),
            until: self.until.map(|moment| moment.0),
        })
    }
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntryOut {
    /// From 1, without gaps.
    seq: i64,
    timestamp: Moment,
    actor: AuditActorOut,
    #[schema(example = "endpoint.update")]
    action: String,
    target: String,
    app_id: Option<String>,
    /// What it was before; secrets, header values and payloads are never shown.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// What it is after.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
    /// Chains this entry to the one before it.
    hash: String,
}

/// Who made a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditActorOut {
    /// `token`, `user`, `portal` or `system`.
    #[schema(value_type = String)]
    kind: ActorKind,
    id: Option<String>,
    name: String,
    address: Option<String>,
    request_id: Option<String>,
}

impl From<Entry> for AuditEntryOut {
    fn from(entry: Entry) -> Self {
        Self {
            seq: entry.seq,
            timestamp: Moment(entry.at),
            actor: entry.actor.into(),
            action: entry.action,
            target: entry.target,
            app_id: entry.app_id.map(|id| id.to_string()),
            before: entry.before,
            after: entry.after,
            hash: model::audit::hex(&entry.hash),
        }
    }
}

impl From<Actor> for AuditActorOut {
    fn from(actor: Actor) -> Self {
        Self {
            kind: actor.kind,
            id: actor.id,
            name: actor.name,
            address: actor.address.map(|address| address.to_string()),
            request_id: actor.request_id,
        }
    }
}
