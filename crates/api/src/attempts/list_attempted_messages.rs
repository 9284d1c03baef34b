use axum::Json;
use axum::extract::State;
use model::delivery::Delivery;
use model::{AppId, MessageId};
use serde::Serialize;
use store::{DeliveryQuery, DeliveryRow, Order, Page, PageQuery, Store};
use utoipa::ToSchema;

use super::{AttemptFilterIn, messages_by_id};
use crate::AppState;
use crate::deliveries::page_of;
use crate::extract::{InEndpoint, Query};
use crate::messages::MessageOut;
use crate::page::{ListOut, MAX_LIMIT, PageIn};
use crate::problem::{ProblemDocument, Result};
use crate::query::MessageFilterIn;
use crate::status::{Status, Wanted, next_attempt, telling};
use crate::wire::Moment;

/// A message, and how it stands at the endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointMessageOut {
    #[serde(flatten)]
    message: MessageOut,
    status: Status,
    status_text: &'static str,
    next_attempt: Option<Moment>,
}

/// List the messages of an endpoint, newest first
///
/// A page may hold fewer than asked for although more follow.
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}/msg",
    operation_id = "v1.message-attempt.list-attempted-messages", tag = "Message attempt",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        PageIn, MessageFilterIn, AttemptFilterIn,
    ),
    responses(
        (status = 200, body = ListOut<EndpointMessageOut>),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn list_attempted_messages(
    State(state): State<AppState>,
    InEndpoint(app, endpoint): InEndpoint,
    Query(page): Query<PageIn>,
    Query(filter): Query<MessageFilterIn>,
    Query(own): Query<AttemptFilterIn>,
) -> Result<Json<ListOut<EndpointMessageOut>>> {
    let wanted = own.status.map_or(Wanted::ALL, |status| status.wanted(own.expanded_statuses));
    let query = DeliveryQuery {
        page: page.query(Order::Descending),
        endpoint: Some(endpoint.id),
        state: None,
        filter: filter.into(),
        status_code_class: own.status_code_class.map(|class| class.0),
        error: None,
    };
    let ascending = query.page.order == Order::Ascending;
    let mut page = page_of(&state.store, app.id, &query, wanted).await?;
    complete_edges(&state.store, app.id, &query, wanted, &mut page).await?;
    let page = one_per_message(page, ascending);
    let ids = page.data.iter().map(|row| row.delivery.id.message_id()).collect();
    let mut messages = messages_by_id(&state.store, app.id, ids, own.with_content).await?;
    let rows = page.data.into_iter().filter_map(|row| {
        let delivery = row.delivery;
        let message = messages.remove(&delivery.id.message_id())?;
        Some(out(message.into(), &delivery, own.expanded_statuses))
    });
    Ok(Json(ListOut {
        data: rows.collect(),
        done: page.done,
        iterator: page.iterator,
        prev_iterator: page.prev_iterator,
    }))
}

fn out(message: MessageOut, delivery: &Delivery, expanded: bool) -> EndpointMessageOut {
    let status = Status::of(delivery).shown(expanded);
    EndpointMessageOut {
        message,
        status,
        status_text: status.text(),
        next_attempt: next_attempt(delivery).map(Moment),
    }
}

/// A page may begin and end in the middle of a message's deliveries: reads the rest of those.
async fn complete_edges(
    store: &Store,
    app: AppId,
    query: &DeliveryQuery,
    wanted: Wanted,
    page: &mut Page<DeliveryRow>,
) -> Result<()> {
    let edges = [page.data.first(), page.data.last()];
    let mut edges: Vec<MessageId> =
        edges.into_iter().flatten().map(|row| row.delivery.id.message_id()).collect();
    edges.dedup();
    for message in edges {
        let (before_all, _) = message.delivery_range();
        let from =
            PageQuery { limit: MAX_LIMIT, iterator: Some(before_all), order: Order::Ascending };
        let query = DeliveryQuery { page: from, ..query.clone() };
        let is_of = |row: &DeliveryRow| row.delivery.id.message_id() == message;
        let mut whole = page_of(store, app, &query, wanted).await?.data;
        whole.retain(is_of);
        let at = page.data.iter().position(is_of).unwrap_or(0);
        page.data.retain(|row| !is_of(row));
        page.data.splice(at..at, whole);
    }
    Ok(())
}

/// Each message once, by the delivery that tells how it stands. The iterators step over whole
/// messages, so that none comes again on the next page.
fn one_per_message(page: Page<DeliveryRow>, ascending: bool) -> Page<DeliveryRow> {
    let same =
        |a: &DeliveryRow, b: &DeliveryRow| a.delivery.id.message_id() == b.delivery.id.message_id();
    let groups = page.data.chunk_by(same);
    let data: Vec<DeliveryRow> = groups.filter_map(telling).cloned().collect();
    let bounds = |row: &DeliveryRow| row.delivery.id.message_id().delivery_range();
    let iterator = data.last().map(bounds).map(|(low, high)| if ascending { high } else { low });
    let prev = data.first().map(bounds).map(|(low, high)| if ascending { low } else { high });
    Page {
        done: page.done,
        iterator: iterator.or(page.iterator),
        prev_iterator: prev.map(|bound| format!("-{bound}")).or(page.prev_iterator),
        data,
    }
}
