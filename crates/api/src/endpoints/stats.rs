use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::Counts;
use utoipa::{IntoParams, ToSchema};

use crate::AppState;
use crate::extract::{InEndpoint, Query};
use crate::problem::{Problem, ProblemDocument, Result};
use crate::wire::Moment;

/// What is counted when no moment is given.
const DEFAULT_RANGE_MS: u64 = 28 * 24 * 60 * 60 * 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatsQuery {
    /// From the hour of this moment; 28 days before `until` if not given.
    since: Option<Moment>,
    /// Up to this moment; now if not given.
    until: Option<Moment>,
}

/// How many deliveries ended how in the time asked for, and how many are not over now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndpointStats)]
pub struct EndpointStatsOut {
    success: u64,
    /// Not tried yet.
    pending: u64,
    /// Under way, or tried and going to be tried again.
    sending: u64,
    fail: u64,
    canceled: u64,
}

impl From<Counts> for EndpointStatsOut {
    fn from(counts: Counts) -> Self {
        Self {
            success: counts.succeeded,
            pending: counts.pending,
            sending: counts.sending,
            fail: counts.failed,
            canceled: counts.canceled,
        }
    }
}

/// Count an endpoint's deliveries
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}/stats",
    operation_id = "v1.endpoint.get-stats", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        StatsQuery,
    ),
    responses(
        (status = 200, body = EndpointStatsOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn stats(
    State(state): State<AppState>,
    InEndpoint(_app, endpoint): InEndpoint,
    Query(query): Query<StatsQuery>,
) -> Result<Json<EndpointStatsOut>> {
    // The range leaves its end out; what ended just now counts.
    let until = query.until.map_or_else(|| state.store.clock().now().plus_ms(1), |until| until.0);
    let since = query.since.map_or_else(|| until.minus_ms(DEFAULT_RANGE_MS), |since| since.0);
    if since >= until {
        return Err(Problem::at(&["query", "since"], "must lie before until"));
    }
    let counts = state.store.counts(endpoint.id, since, until).await?;
    Ok(Json(counts.into()))
}
