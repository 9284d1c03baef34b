use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::busy;
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::{Code, Problem, ProblemDocument, Result};
use crate::users::new_hash;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordIn {
    #[schema(format = Password)]
    current_password: String,
    #[schema(format = Password)]
    new_password: String,
}

/// Change your own password
///
/// Ends every session, this one included.
#[utoipa::path(
    post, path = "/api/v1/auth/password", operation_id = "v1.authentication.password",
    tag = "Authentication", request_body = PasswordIn,
    responses(
        (status = 204),
        (status = 400, body = ProblemDocument, description = "Not the token of a user"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn password(
    State(state): State<AppState>,
    caller: Caller,
    Body(wish): Body<PasswordIn>,
) -> Result<StatusCode> {
    let user = caller.facts().and_then(|facts| facts.user.as_ref());
    let user = user.ok_or_else(|| {
        Problem::new(Code::InvalidRequest, "Only the token of a user has a password.")
    })?;
    state.access.guards.login_to(&user.email, caller.address(), true).await?;
    let hash = state.store.password_of(user.id).await?;
    let checked = state.access.passwords.check(&wish.current_password, hash.as_deref()).await;
    if !checked.map_err(|_| busy())? {
        return Err(Problem::field("currentPassword", "is not the password"));
    }
    let hash = new_hash(&state, "newPassword", &wish.new_password).await?;
    state.store.set_password(user.id, &hash, &caller.actor()).await?;
    state.access.sessions.forget_all();
    Ok(StatusCode::NO_CONTENT)
}
