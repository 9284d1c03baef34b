use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::Timestamp;
use store::ErasureWish;

use super::all_until_now;
use crate::AppState;
use crate::access::Caller;
use crate::endpoints::selection::StartedTaskOut;
use crate::extract::InApp;
use crate::problem::{ProblemDocument, Result};

/// Erase what all messages of an application contain
///
/// Payloads, and what the receivers answered. The messages and attempts themselves stay.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/msg/expunge-all-contents",
    operation_id = "v1.message.expunge-all-contents", tag = "Message",
    params(("app" = String, Path, description = "The application's id or uid")),
    responses((status = 202, body = StartedTaskOut), (status = 404, body = ProblemDocument)),
)]
pub async fn expunge_all_contents(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
) -> Result<(StatusCode, Json<StartedTaskOut>)> {
    let wish = ErasureWish {
        app_id: app.id,
        subject: None,
        since: Timestamp::ZERO,
        until: all_until_now(&state),
    };
    let task = state.store.erase_contents(&wish, &caller.actor()).await?;
    Ok((StatusCode::ACCEPTED, Json(task.into())))
}
