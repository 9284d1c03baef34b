use axum::Json;
use axum::extract::State;
use model::AppId;
use store::Order;

use super::MaintenanceWindowOut;
use crate::AppState;
use crate::extract::{InApp, Query};
use crate::page::{ListOut, PageIn};
use crate::problem::{ProblemDocument, Result};

/// List the maintenance windows of the instance, newest first
#[utoipa::path(
    get, path = "/api/v1/maintenance-window", operation_id = "v1.maintenance-window.list",
    tag = "Maintenance window", params(PageIn),
    responses((status = 200, body = ListOut<MaintenanceWindowOut>)),
)]
pub async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<MaintenanceWindowOut>>> {
    page_of(&state, None, &page).await
}

/// List the maintenance windows of an application, newest first
#[utoipa::path(
    get, path = "/api/v1/app/{app}/maintenance-window",
    operation_id = "v1.application.maintenance-window.list", tag = "Maintenance window",
    params(("app" = String, Path, description = "The application's id or uid"), PageIn),
    responses(
        (status = 200, body = ListOut<MaintenanceWindowOut>),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn list_of_app(
    State(state): State<AppState>,
    InApp(app): InApp,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<MaintenanceWindowOut>>> {
    page_of(&state, Some(app.id), &page).await
}

async fn page_of(
    state: &AppState,
    app: Option<AppId>,
    page: &PageIn,
) -> Result<Json<ListOut<MaintenanceWindowOut>>> {
    let now = state.store.clock().now();
    let windows = state.store.windows(app, &page.query(Order::Descending)).await?;
    Ok(Json(ListOut::new(windows, |window| MaintenanceWindowOut::new(window, now))))
}
