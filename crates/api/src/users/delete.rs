use axum::extract::State;
use axum::http::StatusCode;

use super::{InUser, check_rank};
use crate::AppState;
use crate::access::Caller;
use crate::problem::{ProblemDocument, Result};

/// Delete a user
///
/// Ends every session, and every membership.
#[utoipa::path(
    delete, path = "/api/v1/user/{user}", operation_id = "v1.user.delete", tag = "User",
    params(("user" = String, Path, description = "The user's id")),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    InUser(user): InUser,
) -> Result<StatusCode> {
    check_rank(&caller, &user)?;
    state.store.delete_user(user.id, &caller.actor()).await?;
    state.access.sessions.forget_all();
    Ok(StatusCode::NO_CONTENT)
}
