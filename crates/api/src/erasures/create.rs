use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{ErasureIn, ErasureOut};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::problem::{ProblemDocument, Result};

/// Erase what the messages about somebody contain
///
/// Every message of the application whose payload has the value at the path loses its payload,
/// and its attempts lose what the receivers answered. The messages and attempts themselves stay;
/// deliveries that are still to be made will fail. The value is kept sealed until the task is
/// over, and nowhere after that; the audit log has a keyed hash of it. Archives and backups are
/// not touched.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/erasure", operation_id = "v1.erasure.create", tag = "Message",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = ErasureIn,
    responses(
        (status = 200, description = "A dry run", body = ErasureOut),
        (status = 202, description = "A task was started", body = ErasureOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    Body(wish): Body<ErasureIn>,
) -> Result<(StatusCode, Json<ErasureOut>)> {
    let erasure = wish.read(&state, &app)?;
    if wish.dry_run {
        let trial = state.store.try_erasure(&erasure).await?;
        let out = ErasureOut { task: None, dry_run: Some(trial.into()) };
        return Ok((StatusCode::OK, Json(out)));
    }
    let task = state.store.erase_contents(&erasure, &caller.actor()).await?;
    Ok((StatusCode::ACCEPTED, Json(ErasureOut { task: Some(task.into()), dry_run: None })))
}
