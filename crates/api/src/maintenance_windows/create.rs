use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::AppId;

use super::wish::MaintenanceWindowIn;
use super::{MaintenanceWindowOut, too_many};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::problem::{ProblemDocument, Result};

/// Create a maintenance window of the whole instance
///
/// Deliveries of every application are held while it lasts, and sent afterwards.
#[utoipa::path(
    post, path = "/api/v1/maintenance-window", operation_id = "v1.maintenance-window.create",
    tag = "Maintenance window", request_body = MaintenanceWindowIn,
    responses(
        (status = 201, body = MaintenanceWindowOut),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(wish): Body<MaintenanceWindowIn>,
) -> Result<(StatusCode, Json<MaintenanceWindowOut>)> {
    insert(&state, &caller, None, wish).await
}

/// Create a maintenance window of an application, or of some of its endpoints
///
/// Their deliveries are held while it lasts, and sent afterwards.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/maintenance-window",
    operation_id = "v1.application.maintenance-window.create", tag = "Maintenance window",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = MaintenanceWindowIn,
    responses(
        (status = 201, body = MaintenanceWindowOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create_in_app(
    State(state): State<AppState>,
    InApp(app): InApp,
    caller: Caller,
    Body(wish): Body<MaintenanceWindowIn>,
) -> Result<(StatusCode, Json<MaintenanceWindowOut>)> {
    insert(&state, &caller, Some(app.id), wish).await
}

async fn insert(
    state: &AppState,
    caller: &Caller,
    app: Option<AppId>,
    wish: MaintenanceWindowIn,
) -> Result<(StatusCode, Json<MaintenanceWindowOut>)> {
    let window = wish.window(state, app).await?;
    if !state.store.insert_window(&window, &caller.actor()).await? {
        return Err(too_many());
    }
    let out = MaintenanceWindowOut::new(window, state.store.clock().now());
    Ok((StatusCode::CREATED, Json(out)))
}
