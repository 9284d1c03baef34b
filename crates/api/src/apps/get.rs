use axum::Json;

use super::ApplicationOut;
use crate::extract::InApp;
use crate::problem::ProblemDocument;

/// Get an application
#[utoipa::path(
    get, path = "/api/v1/app/{app}", operation_id = "v1.application.get", tag = "Application",
    params(("app" = String, Path, description = "The application's id or uid")),
    responses((status = 200, body = ApplicationOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(InApp(app): InApp) -> Json<ApplicationOut> {
    Json(app.into())
}
