use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::ReplaySums;
use utoipa::{IntoParams, ToSchema};

use super::OutcomeOut;
use crate::AppState;
use crate::extract::{InApp, Query};
use crate::problem::{Problem, ProblemDocument, Result};
use crate::wire::Moment;

/// What is summed up when no moment is given.
const DEFAULT_RANGE_MS: u64 = 28 * 24 * 60 * 60 * 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReplayStatsQuery {
    /// Started at this moment or later; 28 days before `until` if not given.
    since: Option<Moment>,
    /// Started before this moment; now if not given.
    until: Option<Moment>,
}

/// All replays of an application together; the newest 1000 when there are more.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayStatsOut {
    replays: u64,
    by_kind: Vec<KindCountOut>,
    outcome: OutcomeOut,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KindCountOut {
    /// `resend`, `recover`, `missing` or `bulk`.
    kind: &'static str,
    count: u64,
}

impl From<ReplaySums> for ReplayStatsOut {
    fn from(sums: ReplaySums) -> Self {
        let kind = |(kind, count): &(model::replay::Kind, u64)| KindCountOut {
            kind: kind.as_str(),
            count: *count,
        };
        Self {
            replays: sums.by_kind.iter().map(|(_, count)| count).sum(),
            by_kind: sums.by_kind.iter().map(kind).collect(),
            outcome: sums.counts.into(),
        }
    }
}

/// Sum up replays
///
/// How many were started, what became of what they made, and which errors repeated.
#[utoipa::path(
    get, path = "/api/v1/app/{app}/replay/stats", operation_id = "v1.replay.get-stats",
    tag = "Replay",
    params(("app" = String, Path, description = "The application's id or uid"), ReplayStatsQuery),
    responses(
        (status = 200, body = ReplayStatsOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn stats(
    State(state): State<AppState>,
    InApp(app): InApp,
    Query(query): Query<ReplayStatsQuery>,
) -> Result<Json<ReplayStatsOut>> {
    // The range leaves its end out; what was started just now counts.
    let until = query.until.map_or_else(|| state.store.clock().now().plus_ms(1), |until| until.0);
    let since = query.since.map_or_else(|| until.minus_ms(DEFAULT_RANGE_MS), |since| since.0);
    if since >= until {
        return Err(Problem::at(&["query", "since"], "must lie before until"));
    }
    Ok(Json(state.store.replay_sums(app.id, since, until).await?.into()))
}
