use axum::Json;
use axum::extract::State;
use model::AppId;
use serde::Serialize;
use utoipa::ToSchema;

use super::wish::MaintenanceWindowIn;
use super::{OccurrenceOut, UpcomingQuery, occurrences};
use crate::AppState;
use crate::extract::{Body, InApp, Query};
use crate::problem::{ProblemDocument, Result};

/// Occurrences that are told when no number is asked for.
const UPCOMING: usize = 10;

/// When a window would happen.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindowPreviewOut {
    /// Whether it would hold deliveries now.
    active: bool,
    upcoming: Vec<OccurrenceOut>,
}

/// Tell when a maintenance window of the instance would happen, without saving it
#[utoipa::path(
    post, path = "/api/v1/maintenance-window/preview",
    operation_id = "v1.maintenance-window.preview", tag = "Maintenance window",
    params(UpcomingQuery), request_body = MaintenanceWindowIn,
    responses(
        (status = 200, body = MaintenanceWindowPreviewOut),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn preview(
    State(state): State<AppState>,
    Query(query): Query<UpcomingQuery>,
    Body(wish): Body<MaintenanceWindowIn>,
) -> Result<Json<MaintenanceWindowPreviewOut>> {
    tell(&state, None, query, wish).await
}

/// Tell when a maintenance window of an application would happen, without saving it
#[utoipa::path(
    post, path = "/api/v1/app/{app}/maintenance-window/preview",
    operation_id = "v1.application.maintenance-window.preview", tag = "Maintenance window",
    params(("app" = String, Path, description = "The application's id or uid"), UpcomingQuery),
    request_body = MaintenanceWindowIn,
    responses(
        (status = 200, body = MaintenanceWindowPreviewOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn preview_of_app(
    State(state): State<AppState>,
    InApp(app): InApp,
    Query(query): Query<UpcomingQuery>,
    Body(wish): Body<MaintenanceWindowIn>,
) -> Result<Json<MaintenanceWindowPreviewOut>> {
    tell(&state, Some(app.id), query, wish).await
}

async fn tell(
    state: &AppState,
    app: Option<AppId>,
    query: UpcomingQuery,
    wish: MaintenanceWindowIn,
) -> Result<Json<MaintenanceWindowPreviewOut>> {
    let now = state.store.clock().now();
    let window = wish.window(state, app).await?;
    let upcoming = occurrences(&window, query.upcoming.unwrap_or(UPCOMING), now);
    Ok(Json(MaintenanceWindowPreviewOut { active: window.is_active(now), upcoming }))
}
