use axum::Json;
use axum::extract::State;
use model::delivery;
use serde::{Deserialize, Serialize};
use store::DeliveryRow;
use utoipa::{IntoParams, ToSchema};

use super::explanation::{Facts, reasons};
use crate::AppState;
use crate::deliveries::explanation::{Reason, by_breaker, in_window};
use crate::deliveries::{DeliveryOut, EndpointStateOut};
use crate::extract::{InMessage, Query};
use crate::problem::{Problem, ProblemDocument, Result};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// The endpoint's id or uid.
    endpoint: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageExplanationOut {
    /// The decisive reason.
    summary: String,
    /// What publishing found: `fanned_out`, `no_match` or `all_disabled`.
    outcome: &'static str,
    reasons: Vec<Reason>,
    endpoint: EndpointStateOut,
    /// Of the message to this endpoint, oldest first.
    deliveries: Vec<DeliveryOut>,
}

/// Explain why an endpoint got a message, or did not
#[utoipa::path(
    get, path = "/api/v1/app/{app}/msg/{msg}/explain", operation_id = "v1.message.explain",
    tag = "Message",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or eventId"),
        ExplainQuery,
    ),
    responses(
        (status = 200, body = MessageExplanationOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn explain(
    State(state): State<AppState>,
    InMessage(app, message): InMessage,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<MessageExplanationOut>> {
    let store = &state.store;
    let endpoint = store.endpoint_in_app(app.id, &query.endpoint).await?;
    let endpoint = endpoint.ok_or_else(|| Problem::not_found("endpoint"))?;
    let mut deliveries: Vec<DeliveryRow> = store.deliveries_of_message(app.id, message.id).await?;
    deliveries.retain(|row| row.delivery.endpoint_id == endpoint.id);
    let facts = Facts { message: &message, endpoint: &endpoint, deliveries: &deliveries };
    let mut reasons = reasons(facts);
    let waits = deliveries.iter().any(|row| row.delivery.state == delivery::State::Queued);
    if waits && let Some(hold) = store.window_hold(app.id, endpoint.id).await? {
        reasons.push(in_window(&hold));
    }
    if waits && let Some(breaker) = store.breaker_that_holds(app.id, endpoint.id).await? {
        reasons.push(by_breaker(&breaker));
    }
    let hold_until = store.hold_of(endpoint.id).await?;
    Ok(Json(MessageExplanationOut {
        summary: Reason::summary(&reasons),
        outcome: message.outcome.as_str(),
        reasons,
        endpoint: EndpointStateOut::new(&endpoint, hold_until),
        deliveries: deliveries.into_iter().map(DeliveryOut::from).collect(),
    }))
}
