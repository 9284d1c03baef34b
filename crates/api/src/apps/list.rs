use axum::Json;
use axum::extract::State;
use store::Order;

use super::ApplicationOut;
use crate::AppState;
use crate::auth::Caller;
use crate::extract::Query;
use crate::page::{ListOut, PageIn};
use crate::problem::Result;

/// List applications, newest first
#[utoipa::path(
    get, path = "/api/v1/app", operation_id = "v1.application.list", tag = "Application",
    params(PageIn),
    responses((status = 200, body = ListOut<ApplicationOut>)),
)]
pub async fn list(
    State(state): State<AppState>,
    _: Caller,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<ApplicationOut>>> {
    let apps = state.store.apps(&page.query(Order::Descending)).await?;
    Ok(Json(ListOut::new(apps, ApplicationOut::from)))
}
