use axum::Json;
use axum::extract::State;

use super::put::save;
use super::wish::MaintenanceWindowPatch;
use super::{InInstance, MaintenanceWindowOut, OfApp};
use crate::AppState;
use crate::extract::Body;
use crate::problem::{ProblemDocument, Result};

/// Change parts of a maintenance window of the instance
///
/// What is active can be extended or shortened: `endsAt` takes effect at once.
#[utoipa::path(
    patch, path = "/api/v1/maintenance-window/{window}",
    operation_id = "v1.maintenance-window.patch", tag = "Maintenance window",
    params(("window" = String, Path, description = "The window's id")),
    request_body = MaintenanceWindowPatch,
    responses(
        (status = 200, body = MaintenanceWindowOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch(
    State(state): State<AppState>,
    InInstance(caller, before): InInstance,
    Body(wish): Body<MaintenanceWindowPatch>,
) -> Result<Json<MaintenanceWindowOut>> {
    let window = wish.apply(&state, &before).await?;
    save(&state, &caller, window).await
}

/// Change parts of a maintenance window of an application
///
/// What is active can be extended or shortened: `endsAt` takes effect at once.
#[utoipa::path(
    patch, path = "/api/v1/app/{app}/maintenance-window/{window}",
    operation_id = "v1.application.maintenance-window.patch", tag = "Maintenance window",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("window" = String, Path, description = "The window's id"),
    ),
    request_body = MaintenanceWindowPatch,
    responses(
        (status = 200, body = MaintenanceWindowOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch_of_app(
    State(state): State<AppState>,
    OfApp(caller, before): OfApp,
    Body(wish): Body<MaintenanceWindowPatch>,
) -> Result<Json<MaintenanceWindowOut>> {
    let window = wish.apply(&state, &before).await?;
    save(&state, &caller, window).await
}
