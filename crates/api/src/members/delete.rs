use axum::extract::State;
use axum::http::StatusCode;

use super::InMember;
use crate::AppState;
use crate::access::Caller;
use crate::problem::{ProblemDocument, Result};

/// Remove a member from an application
#[utoipa::path(
    delete, path = "/api/v1/app/{app}/member/{user}", operation_id = "v1.member.delete",
    tag = "Member",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("user" = String, Path, description = "The user's id"),
    ),
    responses(
        (status = 204),
        (status = 403, body = ProblemDocument, description = "Their role is above yours"),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    InMember(app, named): InMember,
) -> Result<StatusCode> {
    caller.need_rank(named.member.role, Some(app.id))?;
    state.store.delete_member(app.id, named.member.user_id, &caller.actor()).await?;
    state.access.sessions.forget_all();
    Ok(StatusCode::NO_CONTENT)
}
