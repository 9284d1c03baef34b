use axum::Json;
use axum::extract::State;
use model::window::Window;

use super::put::save;
use super::{InInstance, MaintenanceWindowOut, OfApp, not_active};
use crate::AppState;
use crate::access::Caller;
use crate::problem::{ProblemDocument, Result};

/// End a maintenance window of the instance now; one that recurs comes again
#[utoipa::path(
    post, path = "/api/v1/maintenance-window/{window}/end",
    operation_id = "v1.maintenance-window.end", tag = "Maintenance window",
    params(("window" = String, Path, description = "The window's id")),
    responses(
        (status = 200, body = MaintenanceWindowOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It is not active"),
    ),
)]
pub async fn end(
    State(state): State<AppState>,
    InInstance(caller, window): InInstance,
) -> Result<Json<MaintenanceWindowOut>> {
    end_now(&state, &caller, window).await
}

/// End a maintenance window of an application now; one that recurs comes again
#[utoipa::path(
    post, path = "/api/v1/app/{app}/maintenance-window/{window}/end",
    operation_id = "v1.application.maintenance-window.end", tag = "Maintenance window",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("window" = String, Path, description = "The window's id"),
    ),
    responses(
        (status = 200, body = MaintenanceWindowOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It is not active"),
    ),
)]
pub async fn end_of_app(
    State(state): State<AppState>,
    OfApp(caller, window): OfApp,
) -> Result<Json<MaintenanceWindowOut>> {
    end_now(&state, &caller, window).await
}

async fn end_now(
    state: &AppState,
    caller: &Caller,
    mut window: Window,
) -> Result<Json<MaintenanceWindowOut>> {
    let now = state.store.clock().now();
    if !window.end(now) {
        return Err(not_active());
    }
    window.updated_at = now;
    save(state, caller, window).await
}
