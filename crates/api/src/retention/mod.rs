//! Retention: for how many days what grows is kept, of the instance and of an application.

pub mod get;
pub mod get_of_app;
pub mod put_of_app;

use model::retention::{MAX_DAYS, Override, Retention};
use serde::{Deserialize, Serialize};
use store::AppRetention;
use utoipa::ToSchema;

use crate::problem::{Problem, Result};

/// Days, counted from the day of a message. Null: for ever.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionOut {
    /// Payloads whose message does not say how long they are kept.
    payload_days: Option<u32>,
    attempt_days: Option<u32>,
    /// Messages with their deliveries. Those with a delivery that is not over stay.
    message_days: Option<u32>,
    audit_days: Option<u32>,
}

/// What an application keeps for other times than the instance. What is left out or null is kept
/// as the instance keeps it.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionShape {
    #[serde(default)]
    #[schema(minimum = 1)]
    payload_days: Option<u32>,
    #[serde(default)]
    #[schema(minimum = 1)]
    attempt_days: Option<u32>,
    #[serde(default)]
    #[schema(minimum = 1)]
    message_days: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppRetentionOut {
    own: RetentionShape,
    in_effect: RetentionOut,
}

impl From<&Retention> for RetentionOut {
    fn from(kept: &Retention) -> Self {
        Self {
            payload_days: kept.payload_days,
            attempt_days: kept.attempt_days,
            message_days: kept.message_days,
            audit_days: kept.audit_days,
        }
    }
}

impl From<AppRetention> for AppRetentionOut {
    fn from(AppRetention { own, in_effect }: AppRetention) -> Self {
        let own = RetentionShape {
            payload_days: own.payload_days,
            attempt_days: own.attempt_days,
            message_days: own.message_days,
        };
        Self { own, in_effect: (&in_effect).into() }
    }
}

impl RetentionShape {
    fn read(&self) -> Result<Override> {
        let own = Override {
            payload_days: self.payload_days,
            attempt_days: self.attempt_days,
            message_days: self.message_days,
        };
        match own.bad_field() {
            Some(field) => Err(Problem::field(field, format!("must be 1 to {MAX_DAYS}, or null"))),
            None => Ok(own),
        }
    }
}
