//! A background task: long work that a request started and that survives a restart.

use serde::{Deserialize, Serialize};

pub use crate::replay::Selection;
use crate::replay::{Course, Kind, Plan};
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
    /// Somebody stopped it for now.
    Paused,
    Finished,
    Failed,
    /// Somebody stopped it for good.
    Canceled,
}

impl TaskStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "paused" => Self::Paused,
            "finished" => Self::Finished,
            "failed" => Self::Failed,
            "canceled" => Self::Canceled,
            _ => Self::Running,
        }
    }

    /// It is over.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Canceled)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Work {
    /// Deliver again what failed at an endpoint.
    Recover(Plan),
    /// Deliver what an endpoint never got, for instance because it did not exist yet.
    ReplayMissing(Plan),
    /// Deliver again everything that matches.
    BulkReplay(Plan),
    /// Delete what belonged to an app or endpoint that is gone.
    Purge { app_id: AppId, endpoint_id: Option<EndpointId> },
    /// Seal everything under a newer version of the master key.
    Reseal { version: u8 },
    /// Erase what messages contain.
    Erase(Erasure),
}

/// Which messages of an app lose their payloads and the answers to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    pub app_id: AppId,
    pub since: Timestamp,
    pub until: Timestamp,
    /// None: all of them.
    pub subject: Option<Subject>,
}

/// Whose messages: those with a certain value at a certain place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub path: String,
    /// The value, sealed: it is what is to be forgotten. Gone when the task is over.
    pub sealed: Option<Vec<u8>>,
    /// A keyed hash of it, by which the task can be told from others.
    pub digest: String,
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
            Self::Erase(_) => "application.purge_content",
            Self::Reseal { .. } => "vault.reseal",
        }
    }

    /// What it replays, and how; none when it is no replay.
    #[must_use]
    pub const fn plan(&self) -> Option<(Kind, &Plan)> {
        match self {
            Self::Recover(plan) => Some((Kind::Recover, plan)),
            Self::ReplayMissing(plan) => Some((Kind::Missing, plan)),
            Self::BulkReplay(plan) => Some((Kind::Bulk, plan)),
            Self::Purge { .. } | Self::Reseal { .. } | Self::Erase(_) => None,
        }
    }
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
    /// Of a replay: where it goes on.
    pub course: Option<Course>,
}
