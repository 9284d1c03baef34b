use axum::Json;
use axum::extract::State;
use store::Order;

use super::UserOut;
use crate::AppState;
use crate::extract::Query;
use crate::page::{ListOut, PageIn};
use crate::problem::Result;

/// List users, newest first
#[utoipa::path(
    get, path = "/api/v1/user", operation_id = "v1.user.list", tag = "User", params(PageIn),
    responses((status = 200, body = ListOut<UserOut>)),
)]
pub async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<UserOut>>> {
    let users = state.store.users(&page.query(Order::Descending)).await?;
    Ok(Json(ListOut::new(users, UserOut::from)))
}
