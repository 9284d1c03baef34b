use axum::Json;
use axum::extract::State;

use super::AppRetentionOut;
use crate::AppState;
use crate::extract::InApp;
use crate::problem::{ProblemDocument, Result};

/// Get for how long what grows in an application is kept
#[utoipa::path(
    get, path = "/api/v1/app/{app}/retention", operation_id = "v1.application.retention.get",
    tag = "Retention",
    params(("app" = String, Path, description = "The application's id or uid")),
    responses((status = 200, body = AppRetentionOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get_of_app(
    State(state): State<AppState>,
    InApp(app): InApp,
) -> Result<Json<AppRetentionOut>> {
    Ok(Json(state.store.app_retention(app.id).await?.into()))
}
