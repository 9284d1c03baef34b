use axum::extract::State;
use axum::http::StatusCode;
use model::task::Work;

use crate::AppState;
use crate::access::Caller;
use crate::extract::InApp;
use crate::problem::{ProblemDocument, Result};

/// Delete an application with its endpoints, messages and deliveries
#[utoipa::path(
    delete, path = "/api/v1/app/{app}", operation_id = "v1.application.delete", tag = "Application",
    params(("app" = String, Path, description = "The application's id or uid")),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
) -> Result<StatusCode> {
    state.store.delete_app(app.id, &caller.actor()).await?;
    let purge = Work::Purge { app_id: app.id, endpoint_id: None };
    state.store.insert_task(None, purge, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
