use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use model::Timestamp;
use model::key::decide::Code;
use serde::{Deserialize, Serialize};
use store::{LATENCY_BOUNDS_US, LATENCY_BUCKETS, MAX_USAGE_ROWS, UsageRow};
use utoipa::{IntoParams, ToSchema};

use super::{InKey, LastUseOut};
use crate::AppState;
use crate::extract::Query;
use crate::problem::{Problem, ProblemDocument, Result};
use crate::wire::Moment;

const HOUR_MS: u64 = 60 * 60 * 1_000;
/// The longest span of one answer.
const MAX_SPAN_MS: u64 = 31 * 24 * HOUR_MS;

/// Which time; the last day if not given.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    #[serde(default)]
    since: Option<Moment>,
    #[serde(default)]
    until: Option<Moment>,
}

/// Verifications of a key, counted by minute and outcome.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyUsage)]
pub struct UsageOut {
    pub since: Moment,
    pub until: Moment,
    pub last_use: Option<LastUseOut>,
    /// By outcome, over the whole time.
    pub totals: BTreeMap<String, u64>,
    /// Upper bounds of the latency buckets in microseconds; the last bucket has none.
    pub latency_bounds_us: Vec<u64>,
    /// By bucket, over the whole time.
    pub latency: Vec<u64>,
    /// False: there are more minutes than one answer holds, and the sums are of these alone. Ask
    /// again for a shorter time.
    pub complete: bool,
    /// Oldest first; minutes without a verification are left out.
    pub data: Vec<UsageMinute>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyUsageMinute)]
pub struct UsageMinute {
    pub minute: Moment,
    #[schema(value_type = String, example = "VALID")]
    pub outcome: Code,
    pub count: u64,
    pub cost: u64,
}

/// How a key was used; some seconds late
#[utoipa::path(
    get, path = "/api/v1/app/{app}/key/{key}/usage", operation_id = "v1.key.usage", tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
        UsageQuery,
    ),
    responses(
        (status = 200, body = UsageOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn usage(
    State(state): State<AppState>,
    InKey(row): InKey,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageOut>> {
    let now = state.store.clock().now();
    // The minute that has begun is part of it.
    let until = query.until.map_or_else(|| now.plus_ms(1), |until| until.0);
    let since = query.since.map_or_else(|| day_before(until), |since| since.0);
    if until.since_ms(since) > MAX_SPAN_MS {
        return Err(Problem::at(&["query", "since"], "the time may span 31 days at the most"));
    }
    let rows = state.store.key_usage(row.key.value.id, since, until).await?;
    let mut out = UsageOut {
        since: Moment(since),
        until: Moment(until),
        last_use: row.last_use.map(Into::into),
        totals: BTreeMap::new(),
        latency_bounds_us: LATENCY_BOUNDS_US.to_vec(),
        latency: vec![0; LATENCY_BUCKETS],
        complete: rows.len() < usize::try_from(MAX_USAGE_ROWS).unwrap_or(usize::MAX),
        data: Vec::with_capacity(rows.len()),
    };
    rows.into_iter().for_each(|row| out.add(row));
    Ok(Json(out))
}

impl UsageOut {
    fn add(&mut self, row: UsageRow) {
        *self.totals.entry(super::verdict::code_text(row.outcome)).or_default() += row.count;
        for (sum, count) in self.latency.iter_mut().zip(row.latency) {
            *sum += count;
        }
        self.data.push(UsageMinute {
            minute: Moment(row.minute),
            outcome: row.outcome,
            count: row.count,
            cost: row.cost,
        });
    }
}

const fn day_before(moment: Timestamp) -> Timestamp {
    Timestamp(moment.0.saturating_sub(24 * 60 * 60 * 1_000))
}
