//! An event type: an entry of the catalogue.

use crate::retry::RetrySchedule;
use crate::{EventTypeId, Timestamp};

#[derive(Clone, Debug, PartialEq)]
pub struct EventType {
    pub id: EventTypeId,
    pub name: String,
    pub description: String,
    pub archived: bool,
    pub deprecated: bool,
    /// JSON Schema documents by version.
    pub schemas: Option<serde_json::Value>,
    pub feature_flags: Option<Vec<String>>,
    pub group_name: Option<String>,
    pub retry_schedule: Option<RetrySchedule>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
