use axum::Json;
use axum::extract::State;
use model::window::Window;

use super::wish::MaintenanceWindowIn;
use super::{InInstance, MaintenanceWindowOut, OfApp};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::{Problem, ProblemDocument, Result};

/// Update a maintenance window of the instance
#[utoipa::path(
    put, path = "/api/v1/maintenance-window/{window}",
    operation_id = "v1.maintenance-window.update", tag = "Maintenance window",
    params(("window" = String, Path, description = "The window's id")),
    request_body = MaintenanceWindowIn,
    responses(
        (status = 200, body = MaintenanceWindowOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    InInstance(caller, before): InInstance,
    Body(wish): Body<MaintenanceWindowIn>,
) -> Result<Json<MaintenanceWindowOut>> {
    let window = wish.replace(&state, &before).await?;
    save(&state, &caller, window).await
}

/// Update a maintenance window of an application
#[utoipa::path(
    put, path = "/api/v1/app/{app}/maintenance-window/{window}",
    operation_id = "v1.application.maintenance-window.update", tag = "Maintenance window",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("window" = String, Path, description = "The window's id"),
    ),
    request_body = MaintenanceWindowIn,
    responses(
        (status = 200, body = MaintenanceWindowOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put_of_app(
    State(state): State<AppState>,
    OfApp(caller, before): OfApp,
    Body(wish): Body<MaintenanceWindowIn>,
) -> Result<Json<MaintenanceWindowOut>> {
    let window = wish.replace(&state, &before).await?;
    save(&state, &caller, window).await
}

/// Writes a window down as it is now wished.
pub(super) async fn save(
    state: &AppState,
    caller: &Caller,
    window: Window,
) -> Result<Json<MaintenanceWindowOut>> {
    if !state.store.update_window(&window, &caller.actor()).await? {
        return Err(Problem::not_found("maintenance window"));
    }
    Ok(Json(MaintenanceWindowOut::new(window, state.store.clock().now())))
}
