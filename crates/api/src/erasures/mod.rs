//! Erasures: what messages contain is erased, for one person or altogether.

pub mod create;
pub mod expunge_all_contents;

use model::Timestamp;
use model::app::App;
use model::json_path::{JsonPath, Scalar};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{ErasureTrial, ErasureWish};
use utoipa::ToSchema;

use crate::AppState;
use crate::endpoints::selection::StartedTaskOut;
use crate::problem::{Problem, Result};
use crate::wire::Moment;

/// Whose messages.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErasureIn {
    /// Where in a payload the value stands: `$`, then steps `.name` into objects and `[0]` into
    /// arrays.
    #[schema(example = "$.contact.id")]
    path: String,
    /// The value: a text, a whole number, true or false.
    equals: Value,
    /// Published at this moment or later.
    #[serde(default)]
    since: Option<Moment>,
    /// Published before this moment; now if left out.
    #[serde(default)]
    until: Option<Moment>,
    /// Only count, and erase nothing.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasureTrialOut {
    /// Messages that would lose their payloads.
    matched: u64,
    looked_at: u64,
    /// False when there were more messages than a dry run looks at.
    whole: bool,
}

/// The task, or what a dry run found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasureOut {
    task: Option<StartedTaskOut>,
    dry_run: Option<ErasureTrialOut>,
}

impl ErasureIn {
    fn read(&self, state: &AppState, app: &App) -> Result<ErasureWish> {
        let path = self.path.parse::<JsonPath>().map_err(|why| Problem::field("path", why))?;
        let value = serde_json::from_value::<Scalar>(self.equals.clone()).map_err(|_| {
            Problem::field("equals", "must be a text, a whole number, true or false")
        })?;
        let until = self.until.map_or_else(|| all_until_now(state), |until| until.0);
        let since = self.since.map_or(Timestamp::ZERO, |since| since.0);
        if since.0 < 0 || since > until {
            return Err(Problem::field("since", "must be before until"));
        }
        Ok(ErasureWish { app_id: app.id, subject: Some((path, value)), since, until })
    }
}

/// What was published in this very millisecond, too.
fn all_until_now(state: &AppState) -> Timestamp {
    state.store.clock().now().plus_ms(1)
}

impl From<ErasureTrial> for ErasureTrialOut {
    fn from(trial: ErasureTrial) -> Self {
        Self { matched: trial.matched, looked_at: trial.looked_at, whole: trial.is_whole }
    }
}
