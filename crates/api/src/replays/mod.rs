//! Replays: deliveries made from earlier ones, by somebody and for a reason.
//!
//! `POST …/replay` starts one over many deliveries; a single resend and the routes of the
//! delivery contract (`recover`, `replay-missing`, `bulk-replay`) are listed here as well.

pub mod change;
pub mod create;
pub mod get;
pub mod list;
pub mod stats;
pub(crate) mod wish;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::app::App;
use model::audit::{Actor, ActorKind};
use model::replay::{Course, Kind, Plan, Replay};
use model::task::{Task, TaskStatus};
use serde::{Deserialize, Serialize};
use store::{RepeatedError, ReplayCounts};
use utoipa::ToSchema;

use crate::AppState;
use crate::extract::{InApp, path};
use crate::problem::{Problem, Result};
use crate::wire::Moment;

/// A replay, what it selects and how far it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayOut {
    #[schema(example = "rpl_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// `resend`, `recover`, `missing` or `bulk`.
    kind: &'static str,
    /// `running`, `paused`, `finished`, `failed` or `canceled`.
    state: &'static str,
    /// Why it failed, if it did.
    error: Option<String>,
    by: ActorOut,
    reason: Option<String>,
    /// The background task that does it; none for a single resend.
    task_id: Option<String>,
    created_at: Moment,
    updated_at: Moment,
    /// When it was over: all is made. What is made may still be under way.
    finished_at: Option<Moment>,
    /// None for a single resend.
    filter: Option<FilterOut>,
    progress: Option<ProgressOut>,
    /// What became of what was made. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeOut>,
}

/// Who did something.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorOut {
    /// `token`, `user`, `portal` or `system`.
    #[schema(value_type = String)]
    kind: ActorKind,
    id: Option<String>,
    name: String,
}

/// What a replay selects, and how it goes about it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilterOut {
    since: Moment,
    until: Moment,
    /// Empty: all.
    endpoint_ids: Vec<String>,
    event_types: Vec<String>,
    /// As deliveries have it: `succeeded`, `failed` or `canceled`.
    state: Option<&'static str>,
    status_code_class: Option<u16>,
    error_kind: Option<&'static str>,
    channel: Option<String>,
    tag: Option<String>,
    text: Option<String>,
    rate_per_second: Option<u32>,
    /// `keep` or `renew`.
    message_id: &'static str,
}

/// How far a replay is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgressOut {
    /// How many were selected when it began; none if nobody counted.
    selected: Option<u64>,
    /// There were at least so many: counting stopped.
    selected_capped: bool,
    looked_at: u64,
    made: u64,
    /// Selected and not made: the chain was too long, or the endpoint is gone.
    skipped: u64,
    /// On average since it began.
    made_per_second: f64,
}

/// What became of the deliveries that were made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeOut {
    made: u64,
    succeeded: u64,
    failed: u64,
    canceled: u64,
    /// Queued or under way.
    pending: u64,
    /// The most frequent first.
    errors: Vec<RepeatedErrorOut>,
}

/// How several deliveries failed, and one of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepeatedErrorOut {
    error_kind: &'static str,
    /// Of the answers, when that was what failed them.
    status_code: Option<u16>,
    count: u64,
    example_delivery_id: String,
}

impl ReplayOut {
    pub(crate) fn new(replay: Replay, counts: Option<ReplayCounts>) -> Self {
        let task = replay.task.as_ref();
        let status = task.map_or(TaskStatus::Finished, |task| task.status);
        let updated_at = task.map_or(replay.created_at, |task| task.updated_at);
        let plan = task.and_then(|task| task.work.plan());
        Self {
            id: replay.id.to_string(),
            kind: replay.kind.as_str(),
            state: status.as_str(),
            error: task.and_then(|task| task.progress.error.clone()),
            by: replay.by.into(),
            reason: replay.reason,
            task_id: replay.task_id.map(|id| id.to_string()),
            created_at: Moment(replay.created_at),
            updated_at: Moment(updated_at),
            finished_at: status.is_final().then_some(Moment(updated_at)),
            filter: plan.map(|(_, plan)| FilterOut::from(plan)),
            progress: task.zip(plan).map(|(task, (_, plan))| ProgressOut::new(task, plan)),
            outcome: counts.map(OutcomeOut::from),
        }
    }
}

impl From<Actor> for ActorOut {
    fn from(actor: Actor) -> Self {
        Self { kind: actor.kind, id: actor.id, name: actor.name }
    }
}

impl From<&Plan> for FilterOut {
    fn from(plan: &Plan) -> Self {
        let selection = &plan.selection;
        let state = selection.state.map(model::delivery::State::from_code);
        Self {
            since: Moment(selection.since),
            until: Moment(selection.until),
            endpoint_ids: selection.endpoints.iter().map(ToString::to_string).collect(),
            event_types: selection.event_types.clone(),
            state: state.map(model::delivery::State::as_str),
            status_code_class: selection.status_code_class,
            error_kind: selection.error.map(|error| error.as_str()),
            channel: selection.channel.clone(),
            tag: selection.tag.clone(),
            text: selection.text.clone(),
            rate_per_second: plan.options.rate_per_s,
            message_id: plan.options.message_id.as_str(),
        }
    }
}

impl ProgressOut {
    fn new(task: &Task, plan: &Plan) -> Self {
        let nothing = Course::default();
        let course = task.progress.course.as_ref().unwrap_or(&nothing);
        let made = task.progress.done;
        Self {
            selected: plan.selected.map(|selected| selected.count),
            selected_capped: plan.selected.is_some_and(|selected| selected.capped),
            looked_at: course.looked_at,
            made,
            skipped: course.skipped,
            made_per_second: per_second(made, task.updated_at.since_ms(task.created_at)),
        }
    }
}

/// With one decimal; 0 where no time has passed.
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn per_second(n: u64, ms: u64) -> f64 {
    if ms == 0 { 0.0 } else { (n as f64 * 10_000.0 / ms as f64).round() / 10.0 }
}

impl From<ReplayCounts> for OutcomeOut {
    fn from(counts: ReplayCounts) -> Self {
        Self {
            made: counts.made(),
            succeeded: counts.succeeded,
            failed: counts.failed,
            canceled: counts.canceled,
            pending: counts.pending,
            errors: counts.errors.into_iter().map(RepeatedErrorOut::from).collect(),
        }
    }
}

impl From<RepeatedError> for RepeatedErrorOut {
    fn from(repeated: RepeatedError) -> Self {
        Self {
            error_kind: repeated.error.as_str(),
            status_code: repeated.status,
            count: repeated.count,
            example_delivery_id: repeated.example.to_string(),
        }
    }
}

/// A kind by its name, in a query.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub struct KindIn(pub Kind);

#[derive(Debug, Deserialize)]
struct ReplayPath {
    replay: String,
}

/// The replay that the path names, inside the app that the path names.
#[derive(Debug)]
pub struct InReplay(pub App, pub Replay);

impl FromRequestParts<AppState> for InReplay {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let ReplayPath { replay } = path(parts, state).await?;
        let id = replay.parse().map_err(|_| Problem::not_found("replay"))?;
        let found = state.store.replay_in_app(app.id, id).await?;
        found.map(|replay| Self(app, replay)).ok_or_else(|| Problem::not_found("replay"))
    }
}
