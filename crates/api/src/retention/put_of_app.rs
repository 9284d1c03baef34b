use axum::Json;
use axum::extract::State;

use super::{AppRetentionOut, RetentionShape};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::problem::{ProblemDocument, Result};

/// Set for how long what grows in an application is kept
///
/// Housekeeping deletes what is older, at its next turn. On PostgreSQL an application that keeps
/// attempts longer than the instance makes it delete the others' one by one: days of attempts
/// are dropped as a whole only when nobody keeps them.
#[utoipa::path(
    put, path = "/api/v1/app/{app}/retention", operation_id = "v1.application.retention.update",
    tag = "Retention",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = RetentionShape,
    responses(
        (status = 200, body = AppRetentionOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put_of_app(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    Body(wish): Body<RetentionShape>,
) -> Result<Json<AppRetentionOut>> {
    state.store.set_app_retention(app.id, &wish.read()?, &caller.actor()).await?;
    Ok(Json(state.store.app_retention(app.id).await?.into()))
}
