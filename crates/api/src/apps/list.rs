use axum::Json;
use axum::extract::State;
use model::AppId;
use model::app::App;
use store::{AppRef, Order, Page, PageQuery};

use super::ApplicationOut;
use crate::AppState;
use crate::access::{AppScope, Caller};
use crate::extract::Query;
use crate::page::{ListOut, PageIn, cut};
use crate::problem::Result;

/// List applications, newest first
///
/// Whoever has to do with some applications only sees those.
#[utoipa::path(
    get, path = "/api/v1/app", operation_id = "v1.application.list", tag = "Application",
    params(PageIn),
    responses((status = 200, body = ListOut<ApplicationOut>)),
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<ApplicationOut>>> {
    let query = page.query(Order::Descending);
    let apps = match caller.app_scope() {
        AppScope::Instance => state.store.apps(&query).await?,
        AppScope::Apps(apps) => some(&state, apps, &query).await?,
    };
    Ok(Json(ListOut::new(apps, ApplicationOut::from)))
}

/// A page of these apps.
async fn some(state: &AppState, apps: &[AppId], query: &PageQuery) -> Result<Page<App>> {
    let ids = cut(apps.to_vec(), query, ToString::to_string);
    let mut found = Vec::with_capacity(ids.data.len());
    for id in ids.data {
        found.extend(state.store.app(&AppRef::from(id)).await?);
    }
    Ok(Page {
        data: found,
        done: ids.done,
        iterator: ids.iterator,
        prev_iterator: ids.prev_iterator,
    })
}
