use axum::extract::State;
use axum::http::StatusCode;

use crate::AppState;
use crate::access::Caller;
use crate::problem::Result;

/// Do all housekeeping now
///
/// Quiet hours or not. `GET /api/v1/housekeeping` tells what came of it.
#[utoipa::path(
    post, path = "/api/v1/housekeeping/run", operation_id = "v1.housekeeping.run",
    tag = "Housekeeping", responses((status = 202, description = "It is done soon")),
)]
pub async fn run(State(state): State<AppState>, caller: Caller) -> Result<StatusCode> {
    state.store.ask_for_housekeeping(&caller.actor()).await?;
    Ok(StatusCode::ACCEPTED)
}
