//! Event types: the catalogue of what a product publishes. It is the instance's, not an app's.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod patch;
pub mod put;
pub mod wish;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::event_type::EventType;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::extract::path;
use crate::problem::{Problem, Result};
use crate::retry_seconds;
use crate::wire::Moment;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventTypeOut {
    #[schema(example = "contact.created")]
    pub name: String,
    pub description: String,
    /// An archived event type is no longer offered; messages of it are still delivered.
    pub archived: bool,
    pub deprecated: bool,
    /// JSON Schema documents by version.
    #[schema(value_type = Option<Object>)]
    pub schemas: Option<Value>,
    pub feature_flags: Option<Vec<String>>,
    /// The first of `featureFlags`, for older clients.
    #[schema(deprecated)]
    pub feature_flag: Option<String>,
    pub group_name: Option<String>,
    /// The delay before each attempt, in seconds.
    #[schema(value_type = Option<Vec<f64>>)]
    pub retry_schedule: Option<Vec<Number>>,
    pub created_at: Moment,
    pub updated_at: Moment,
}

impl From<EventType> for EventTypeOut {
    fn from(event_type: EventType) -> Self {
        let flags = event_type.feature_flags;
        Self {
            name: event_type.name,
            description: event_type.description,
            archived: event_type.archived,
            deprecated: event_type.deprecated,
            schemas: event_type.schemas,
            feature_flag: flags.as_ref().and_then(|flags| flags.first().cloned()),
            feature_flags: flags,
            group_name: event_type.group_name,
            retry_schedule: event_type.retry_schedule.as_ref().map(retry_seconds::write),
            created_at: Moment(event_type.created_at),
            updated_at: Moment(event_type.updated_at),
        }
    }
}

#[derive(Debug, Deserialize)]
struct NamePath {
    event_type: String,
}

/// What the path calls the event type, not looked up. Asks for a caller first.
#[derive(Debug)]
pub struct EventTypeName(pub String);

impl FromRequestParts<AppState> for EventTypeName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        Caller::from_request_parts(parts, state).await?;
        let NamePath { event_type } = path(parts, state).await?;
        Ok(Self(event_type))
    }
}

/// The event type that the path names.
#[derive(Debug)]
pub struct NamedEventType(pub EventType);

impl FromRequestParts<AppState> for NamedEventType {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let EventTypeName(name) = EventTypeName::from_request_parts(parts, state).await?;
        let found = state.store.event_type(&name).await?;
        found.map(Self).ok_or_else(|| Problem::not_found("event type"))
    }
}
