//! What a caller wishes an event type to be, and whether it may be that. A whole wish is a
//! partial one that leaves nothing out.

use model::event_type::EventType;
use model::{EventTypeId, name};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::AppState;
use crate::patch::{self, Field};
use crate::problem::{Problem, Result};
use crate::retry_seconds;

const MAX_SCHEMAS_BYTES: usize = 256 * 1024;
const MAX_FEATURE_FLAGS: usize = 64;

/// What an event type shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventTypeUpdate {
    description: String,
    archived: Option<bool>,
    deprecated: Option<bool>,
    /// JSON Schema documents by version.
    #[schema(value_type = Option<Object>, example = json!({"1": {"type": "object"}}))]
    schemas: Option<Value>,
    feature_flags: Option<Vec<String>>,
    /// What `featureFlags` was when there was one.
    #[schema(deprecated)]
    feature_flag: Option<String>,
    group_name: Option<String>,
    /// The delay before each attempt, in seconds; the instance's if left out.
    #[schema(example = json!([0, 1, 5, 15]))]
    retry_schedule: Option<Vec<f64>>,
}

/// An event type to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EventTypeIn {
    #[schema(example = "contact.created")]
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) rest: EventTypeUpdate,
}

/// What shall change; an absent field stays, `null` clears it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventTypePatch {
    description: Option<String>,
    archived: Option<bool>,
    deprecated: Option<bool>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Object>)]
    schemas: Field<Value>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Vec<String>>)]
    feature_flags: Field<Vec<String>>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>, deprecated)]
    feature_flag: Field<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    group_name: Field<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Vec<f64>>)]
    retry_schedule: Field<Vec<f64>>,
}

impl From<EventTypeUpdate> for EventTypePatch {
    fn from(wish: EventTypeUpdate) -> Self {
        Self {
            description: Some(wish.description),
            archived: Some(wish.archived.unwrap_or(false)),
            deprecated: Some(wish.deprecated.unwrap_or(false)),
            schemas: Some(wish.schemas),
            feature_flags: Some(wish.feature_flags.or(wish.feature_flag.map(|flag| vec![flag]))),
            feature_flag: None,
            group_name: Some(wish.group_name),
            retry_schedule: Some(wish.retry_schedule),
        }
    }
}

impl EventTypePatch {
    pub(super) fn apply(self, mut event_type: EventType, state: &AppState) -> Result<EventType> {
        let one_flag = self.feature_flag.map(|flag| flag.map(|flag| vec![flag]));
        let flags = self.feature_flags.or(one_flag);
        if let Some(delays) = self.retry_schedule {
            event_type.retry_schedule = delays.as_deref().map(retry_seconds::read).transpose()?;
        }
        event_type.description = self.description.unwrap_or(event_type.description);
        event_type.archived = self.archived.unwrap_or(event_type.archived);
        event_type.deprecated = self.deprecated.unwrap_or(event_type.deprecated);
        event_type.schemas = self.schemas.unwrap_or(event_type.schemas);
        event_type.feature_flags = flags.unwrap_or(event_type.feature_flags);
        event_type.group_name = self.group_name.unwrap_or(event_type.group_name);
        event_type.updated_at = state.store.clock().now();
        check(&event_type)?;
        Ok(event_type)
    }
}

/// An event type as wished, not stored yet.
pub(super) fn new_event_type(
    state: &AppState,
    name: String,
    wish: EventTypeUpdate,
) -> Result<EventType> {
    let now = state.store.clock().now();
    let blank = EventType {
        id: EventTypeId::new(now, state.store.entropy()),
        name,
        description: String::new(),
        archived: false,
        deprecated: false,
        schemas: None,
        feature_flags: None,
        group_name: None,
        retry_schedule: None,
        created_at: now,
        updated_at: now,
    };
    EventTypePatch::from(wish).apply(blank, state)
}

fn check(event_type: &EventType) -> Result<()> {
    name::check_uid(&event_type.name, EventTypeId::PREFIX)
        .map_err(|error| Problem::field("name", error))?;
    name::check_text(&event_type.description)
        .map_err(|error| Problem::field("description", error))?;
    if let Some(group_name) = &event_type.group_name {
        name::check_name(group_name, name::MAX_NAME_LEN)
            .map_err(|error| Problem::field("groupName", error))?;
    }
    let flags = event_type.feature_flags.as_deref().unwrap_or_default();
    if flags.len() > MAX_FEATURE_FLAGS {
        let why = format!("must have at most {MAX_FEATURE_FLAGS} entries");
        return Err(Problem::field("featureFlags", why));
    }
    flags
        .iter()
        .try_for_each(|flag| name::check_name(flag, name::MAX_NAME_LEN))
        .map_err(|error| Problem::field("featureFlags", error))?;
    event_type.schemas.as_ref().map_or(Ok(()), check_schemas)
}

fn check_schemas(schemas: &Value) -> Result<()> {
    let of_objects = |versions: &serde_json::Map<_, Value>| versions.values().all(Value::is_object);
    if !schemas.as_object().is_some_and(of_objects) {
        let why = "must be an object of JSON Schema objects by version, \
                   such as {\"1\": {\"type\": \"object\"}}";
        return Err(Problem::field("schemas", why));
    }
    let bytes = schemas.to_string().len();
    if bytes > MAX_SCHEMAS_BYTES {
        let why = format!("must be at most {MAX_SCHEMAS_BYTES} bytes, got {bytes}");
        return Err(Problem::field("schemas", why));
    }
    Ok(())
}
