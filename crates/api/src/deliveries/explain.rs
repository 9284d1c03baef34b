use axum::Json;
use axum::extract::State;
use model::attempt::Attempt;
use model::delivery;
use model::endpoint::Endpoint;
use model::retry::RetrySchedule;
use serde::Serialize;
use store::{DeliveryRow, Route, Store};
use utoipa::ToSchema;

use super::explanation::{Facts, Reason, next_attempt_at, reasons};
use super::{EndpointStateOut, InDelivery};
use crate::AppState;
use crate::problem::{ProblemDocument, Result};
use crate::retry_seconds;
use crate::wire::Moment;

/// Why a delivery went, waits, or did not go.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryExplanationOut {
    /// The decisive reason.
    summary: String,
    /// `queued`, `leased`, `succeeded`, `failed` or `canceled`.
    state: &'static str,
    reasons: Vec<Reason>,
    /// None when it stands still, is under way, or nothing is to come.
    next_attempt_at: Option<Moment>,
    /// While it is queued: deliveries of the endpoint that are due before it, counted to 1,000.
    place_in_queue: Option<u32>,
    /// None when it was deleted.
    endpoint: Option<EndpointStateOut>,
    /// Seconds before each attempt, the first included; before jitter.
    #[schema(value_type = Vec<f64>)]
    schedule: Vec<serde_json::Number>,
    attempts: Vec<AttemptLineOut>,
}

/// One line of a delivery's history.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptLineOut {
    id: String,
    number: u32,
    at: Moment,
    status_code: Option<u16>,
    error_kind: Option<&'static str>,
    error: Option<String>,
    /// From this attempt's start to that of the next, or to when the next is due.
    next_after_ms: Option<u64>,
}

/// Explain why a delivery went, waits, or did not go
#[utoipa::path(
    get, path = "/api/v1/app/{app}/delivery/{delivery}/explain",
    operation_id = "v1.delivery.explain", tag = "Delivery",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("delivery" = String, Path, description = "The delivery's id"),
    ),
    responses(
        (status = 200, body = DeliveryExplanationOut),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn explain(
    State(state): State<AppState>,
    InDelivery(app, row): InDelivery,
) -> Result<Json<DeliveryExplanationOut>> {
    let store = &state.store;
    let delivery = &row.delivery;
    let is_queued = delivery.state == delivery::State::Queued;
    let message = store.message_in_app(app.id, delivery.id.message_id().as_str()).await?;
    let endpoint = store.endpoint_in_app(app.id, delivery.endpoint_id.as_str()).await?;
    let attempts = store.attempts_of_delivery(app.id, delivery.id).await?;
    let hold_until = store.hold_of(delivery.endpoint_id).await?;
    let windows = store.window_hold(app.id, delivery.endpoint_id).await?;
    let breaker = store.breaker_that_holds(app.id, delivery.endpoint_id).await?;
    let ahead = if is_queued { store.place_in_queue(delivery).await? } else { 0 };
    let schedule = match &endpoint {
        Some(endpoint) => retry_seconds::write(&schedule_of(store, endpoint, &row).await?),
        None => Vec::new(),
    };
    let facts = Facts {
        now: store.clock().now(),
        row: &row,
        endpoint: endpoint.as_ref(),
        message: message.as_ref(),
        attempts: &attempts,
        schedule_len: schedule.len(),
        hold_until,
        windows: windows.as_ref(),
        breaker: breaker.as_ref(),
        ahead,
    };
    let reasons = reasons(facts);
    Ok(Json(DeliveryExplanationOut {
        summary: Reason::summary(&reasons),
        state: delivery.state.as_str(),
        reasons,
        next_attempt_at: next_attempt_at(facts).map(Moment),
        place_in_queue: is_queued.then_some(ahead),
        endpoint: endpoint.as_ref().map(|endpoint| EndpointStateOut::new(endpoint, hold_until)),
        schedule,
        attempts: lines(&row, &attempts),
    }))
}

/// The store tells the schedule of a route; without its secrets the endpoint is all of it.
async fn schedule_of(
    store: &Store,
    endpoint: &Endpoint,
    row: &DeliveryRow,
) -> Result<RetrySchedule> {
    let route = Route {
        endpoint: endpoint.clone(),
        secrets: Vec::new(),
        throttle_rate: None,
        windows: Default::default(),
        breaker: None,
        thresholds: Default::default(),
        drains: false,
        revision: 0,
    };
    let event_type = row.event_type.as_deref().unwrap_or_default();
    Ok(store.retry_schedule(&route, event_type).await?)
}

fn lines(row: &DeliveryRow, attempts: &[Attempt]) -> Vec<AttemptLineOut> {
    let starts = attempts.iter().skip(1).map(|attempt| Some(attempt.at));
    let due = super::next_attempt(&row.delivery);
    attempts.iter().zip(starts.chain([due])).map(|(attempt, next)| line(attempt, next)).collect()
}

fn line(attempt: &Attempt, next: Option<model::Timestamp>) -> AttemptLineOut {
    AttemptLineOut {
        id: attempt.id.to_string(),
        number: attempt.number,
        at: Moment(attempt.at),
        status_code: attempt.status_code,
        error_kind: attempt.error.map(|kind| kind.as_str()),
        error: attempt.detail.error.clone(),
        next_after_ms: next.map(|next| next.since_ms(attempt.at)),
    }
}
