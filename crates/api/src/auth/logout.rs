use axum::extract::State;
use axum::http::StatusCode;

use crate::AppState;
use crate::access::Caller;
use crate::problem::{Code, Problem, ProblemDocument, Result};

/// End the session of this token
#[utoipa::path(
    post, path = "/api/v1/auth/logout", operation_id = "v1.authentication.logout",
    tag = "Authentication",
    responses(
        (status = 204),
        (status = 400, body = ProblemDocument, description = "A service token has no session"),
    ),
)]
pub async fn logout(State(state): State<AppState>, caller: Caller) -> Result<StatusCode> {
    let session = caller.session().ok_or_else(|| {
        Problem::new(Code::InvalidRequest, "A service token has no session: revoke it instead.")
    })?;
    state.store.end_session(session, &caller.actor()).await?;
    state.access.sessions.forget(session);
    Ok(StatusCode::NO_CONTENT)
}
