//! A background task: long work that a request started and that survives a restart.

use serde::{Deserialize, Serialize};

use crate::{AppId, DeliveryId, EndpointId, TaskId, Timestamp};

#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub id: TaskId,
    pub app_id: Option<AppId>,
    pub status: TaskStatus,
    pub work: Work,
    pub progress: Progress,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    Running,
    Finished,
    Failed,
}

impl TaskStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "finished" => Self::Finished,
            "failed" => Self::Failed,
            _ => Self::Running,
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Work {
    /// Deliver again what failed at an endpoint.
    Recover(Selection),
    /// Deliver what an endpoint never got, for instance because it did not exist yet.
    ReplayMissing(Selection),
    /// Deliver again everything that matches.
    BulkReplay(Selection),
    /// Delete what belonged to an app or endpoint that is gone.
    Purge { app_id: AppId, endpoint_id: Option<EndpointId> },
}

impl Work {
    /// The name that Svix clients know.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Recover(_) => "endpoint.recover",
            Self::ReplayMissing(_) => "endpoint.replay",
            Self::BulkReplay(_) => "endpoint.bulk-replay",
            Self::Purge { .. } => "purge",
        }
    }
}

/// Which messages of which endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    pub app_id: AppId,
    pub endpoint_id: EndpointId,
    pub since: Timestamp,
    pub until: Timestamp,
    #[serde(default)]
    pub event_types: Vec<String>,
    #[serde(default)]
    pub channel: Option<String>,
    #[serde(default)]
    pub tag: Option<String>,
    /// Delivery state code; only deliveries in this state.
    #[serde(default)]
    pub state: Option<i16>,
    /// 200, 300, 400 or 500: only deliveries whose last answer was of this class.
    #[serde(default)]
    pub status_code_class: Option<u16>,
}

/// How far it is; also where it goes on after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    pub done: u64,
    /// The last id that was dealt with.
    pub cursor: Option<String>,
    pub error: Option<String>,
    /// The last delivery that was made.
    pub last_delivery: Option<DeliveryId>,
}
