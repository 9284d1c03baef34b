use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use model::EndpointId;
use serde::{Deserialize, Serialize};
use store::{DeliveryRow, Order};
use utoipa::{IntoParams, ToSchema};

use crate::AppState;
use crate::endpoints::EndpointOut;
use crate::extract::{InMessage, Query};
use crate::page::{ListOut, PageIn, cut};
use crate::problem::{ProblemDocument, Result};
use crate::status::{Status, next_attempt, telling};
use crate::wire::Moment;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DestinationsQuery {
    /// Whether what was canceled is shown as such; as failed otherwise.
    #[serde(default)]
    expanded_statuses: bool,
}

/// An endpoint, and how the message stands there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageEndpointOut {
    #[serde(flatten)]
    endpoint: EndpointOut,
    status: Status,
    status_text: &'static str,
    next_attempt: Option<Moment>,
}

/// List the endpoints that a message went to
#[utoipa::path(
    get, path = "/api/v1/app/{app}/msg/{msg}/endpoint",
    operation_id = "v1.message-attempt.list-attempted-destinations", tag = "Message attempt",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or eventId"),
        PageIn, DestinationsQuery,
    ),
    responses(
        (status = 200, body = ListOut<MessageEndpointOut>),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn list_attempted_destinations(
    State(state): State<AppState>,
    InMessage(app, message): InMessage,
    Query(page): Query<PageIn>,
    Query(query): Query<DestinationsQuery>,
) -> Result<Json<ListOut<MessageEndpointOut>>> {
    let rows = state.store.deliveries_of_message(app.id, message.id).await?;
    let mut by_endpoint: BTreeMap<EndpointId, Vec<DeliveryRow>> = BTreeMap::new();
    for row in rows {
        by_endpoint.entry(row.delivery.endpoint_id).or_default().push(row);
    }
    let told = by_endpoint.values().filter_map(telling).cloned().collect();
    let page = page.query(Order::Descending);
    let page = cut(told, &page, |row| row.delivery.endpoint_id.to_string());
    let mut data = Vec::with_capacity(page.data.len());
    for DeliveryRow { delivery, .. } in page.data {
        let id = delivery.endpoint_id;
        // One that was deleted is nowhere to be shown.
        let Some(endpoint) = state.store.endpoint_in_app(app.id, id.as_str()).await? else {
            continue;
        };
        let status = Status::of(&delivery).shown(query.expanded_statuses);
        data.push(MessageEndpointOut {
            endpoint: endpoint.into(),
            status,
            status_text: status.text(),
            next_attempt: next_attempt(&delivery).map(Moment),
        });
    }
    let (iterator, prev_iterator) = (page.iterator, page.prev_iterator);
    Ok(Json(ListOut { data, done: page.done, iterator, prev_iterator }))
}
