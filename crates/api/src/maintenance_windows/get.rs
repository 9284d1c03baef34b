use axum::Json;
use axum::extract::State;

use super::{InInstance, MaintenanceWindowOut, OfApp, UpcomingQuery};
use crate::AppState;
use crate::extract::Query;
use crate::problem::ProblemDocument;

/// Get a maintenance window of the instance
#[utoipa::path(
    get, path = "/api/v1/maintenance-window/{window}",
    operation_id = "v1.maintenance-window.get", tag = "Maintenance window",
    params(("window" = String, Path, description = "The window's id"), UpcomingQuery),
    responses(
        (status = 200, body = MaintenanceWindowOut),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn get(
    State(state): State<AppState>,
    InInstance(_caller, window): InInstance,
    Query(query): Query<UpcomingQuery>,
) -> Json<MaintenanceWindowOut> {
    Json(MaintenanceWindowOut::with_upcoming(window, query, state.store.clock().now()))
}

/// Get a maintenance window of an application
#[utoipa::path(
    get, path = "/api/v1/app/{app}/maintenance-window/{window}",
    operation_id = "v1.application.maintenance-window.get", tag = "Maintenance window",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("window" = String, Path, description = "The window's id"),
        UpcomingQuery,
    ),
    responses(
        (status = 200, body = MaintenanceWindowOut),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn get_of_app(
    State(state): State<AppState>,
    OfApp(_caller, window): OfApp,
    Query(query): Query<UpcomingQuery>,
) -> Json<MaintenanceWindowOut> {
    Json(MaintenanceWindowOut::with_upcoming(window, query, state.store.clock().now()))
}
