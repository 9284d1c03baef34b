use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use store::Order;
use utoipa::IntoParams;

use super::EventTypeOut;
use crate::AppState;
use crate::access::Caller;
use crate::extract::Query;
use crate::page::{ListOut, PageIn};
use crate::problem::Result;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Whether archived ones come along.
    #[serde(default)]
    include_archived: bool,
    /// Whether schemas come along.
    #[serde(default)]
    with_content: bool,
}

/// List event types by name
#[utoipa::path(
    get, path = "/api/v1/event-type", operation_id = "v1.event-type.list", tag = "Event type",
    params(PageIn, ListQuery),
    responses((status = 200, body = ListOut<EventTypeOut>)),
)]
pub async fn list(
    State(state): State<AppState>,
    _: Caller,
    Query(page): Query<PageIn>,
    Query(query): Query<ListQuery>,
) -> Result<Json<ListOut<EventTypeOut>>> {
    let page = page.query(Order::Ascending);
    let event_types = state.store.event_types(&page, query.include_archived).await?;
    Ok(Json(ListOut::new(event_types, |mut event_type| {
        event_type.schemas = event_type.schemas.filter(|_| query.with_content);
        event_type.into()
    })))
}
