use axum::extract::State;
use axum::http::StatusCode;

use super::{InInstance, OfApp};
use crate::AppState;
use crate::problem::{ProblemDocument, Result};

/// Delete a maintenance window of the instance; what it holds is let go
#[utoipa::path(
    delete, path = "/api/v1/maintenance-window/{window}",
    operation_id = "v1.maintenance-window.delete", tag = "Maintenance window",
    params(("window" = String, Path, description = "The window's id")),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete(
    State(state): State<AppState>,
    InInstance(caller, window): InInstance,
) -> Result<StatusCode> {
    state.store.delete_window(None, window.id, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete a maintenance window of an application; what it holds is let go
#[utoipa::path(
    delete, path = "/api/v1/app/{app}/maintenance-window/{window}",
    operation_id = "v1.application.maintenance-window.delete", tag = "Maintenance window",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("window" = String, Path, description = "The window's id"),
    ),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete_of_app(
    State(state): State<AppState>,
    OfApp(caller, window): OfApp,
) -> Result<StatusCode> {
    let app = window.scope.app_id();
    state.store.delete_window(app, window.id, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
