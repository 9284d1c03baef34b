use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use store::Refreshed;
use utoipa::ToSchema;

use super::login::actor;
use super::{SessionOut, session_out};
use crate::AppState;
use crate::access::ClientAddress;
use crate::extract::Body;
use crate::problem::{Code, Problem, ProblemDocument, Result};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshIn {
    refresh_token: String,
}

/// Renew a session
///
/// A refresh token is good once. When one comes a second time somebody has a copy: the session is
/// ended for everybody who holds it.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", operation_id = "v1.authentication.refresh",
    tag = "Authentication", security(()), request_body = RefreshIn,
    responses((status = 200, body = SessionOut), (status = 401, body = ProblemDocument)),
)]
pub async fn refresh(
    State(state): State<AppState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    Body(wish): Body<RefreshIn>,
) -> Result<Response> {
    let sessions = &state.access.sessions;
    let opened = sessions.keys.open_refresh(&wish.refresh_token);
    let (id, generation) = opened.map_err(|_| over())?;
    let facts = state.store.session_facts(id).await?.ok_or_else(over)?;
    let user = facts.user.filter(|user| user.enabled).ok_or_else(over)?;
    let refreshed = state.store.refresh_session(id, generation, &actor(&user, address)).await?;
    sessions.forget(id);
    match refreshed {
        Refreshed::Done(session) => session_out(&state, &session, user),
        Refreshed::Reused => {
            tracing::warn!(session = %id, user = %user.id, "a refresh token came twice: session ended");
            Err(over())
        }
        Refreshed::Gone => Err(over()),
    }
}

fn over() -> Problem {
    Problem::new(Code::Unauthorized, "The session is over. Log in again.")
}
