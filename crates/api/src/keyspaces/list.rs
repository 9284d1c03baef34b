use axum::Json;
use axum::extract::State;
use store::Order;

use super::KeyspaceOut;
use crate::AppState;
use crate::access::Caller;
use crate::extract::Query;
use crate::page::{ListOut, PageIn};
use crate::problem::Result;

/// List keyspaces, newest first
#[utoipa::path(
    get, path = "/api/v1/keyspace", operation_id = "v1.keyspace.list", tag = "Keyspace",
    params(PageIn),
    responses((status = 200, body = ListOut<KeyspaceOut>)),
)]
pub async fn list(
    State(state): State<AppState>,
    _: Caller,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<KeyspaceOut>>> {
    let keyspaces = state.store.keyspaces(&page.query(Order::Descending)).await?;
    Ok(Json(ListOut::new(keyspaces, |keyspace| keyspace.value.into())))
}
