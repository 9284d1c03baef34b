use std::net::IpAddr;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use model::access::{Holder, SESSION_IDLE_MS, Session, User, normal_email};
use model::audit::{Actor, ActorKind};
use model::{SessionId, Timestamp, UserId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{SessionOut, busy, session_out};
use crate::AppState;
use crate::access::{ClientAddress, user_agent};
use crate::extract::Body;
use crate::problem::{Code, Problem, ProblemDocument, Result};

#[derive(Deserialize, ToSchema)]
pub struct LoginIn {
    email: String,
    #[schema(format = Password)]
    password: String,
}

/// Log in with a password
///
/// Whatever is wrong, the answer is the same, and takes the same time.
#[utoipa::path(
    post, path = "/api/v1/auth/login", operation_id = "v1.authentication.login",
    tag = "Authentication", security(()), request_body = LoginIn,
    responses(
        (status = 200, body = SessionOut),
        (status = 401, body = ProblemDocument),
        (status = 429, body = ProblemDocument, description = "Too many attempts"),
    ),
)]
pub async fn login(
    State(state): State<AppState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    Body(wish): Body<LoginIn>,
) -> Result<Response> {
    state.access.guards.login_from(address).await?;
    let email = normal_email(&wish.email).unwrap_or_default();
    let found = state.store.user_by_email(&email).await?;
    // Asked for nobody too: an unknown account takes the same time.
    let id = found.as_ref().map_or_else(|| UserId::floor(Timestamp(0)), |(user, _)| user.id);
    let known = match address {
        Some(address) => state.store.user_knows_address(id, &address.to_string()).await?,
        None => false,
    };
    state.access.guards.login_to(&email, address, known).await?;
    let hash = found.as_ref().map(|(_, hash)| hash.as_str());
    let is_right = state.access.passwords.check(&wish.password, hash).await.map_err(|_| busy())?;
    let user = found.map(|(user, _)| user).filter(|user| is_right && user.enabled);
    begin(&state, user.ok_or_else(wrong)?, address, &headers).await
}

/// Begins a session of a user who has shown who they are.
pub(super) async fn begin(
    state: &AppState,
    user: User,
    address: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<Response> {
    let now = state.store.clock().now();
    let session = Session {
        id: SessionId::new(now, state.store.entropy()),
        holder: Holder::User(user.id),
        generation: 1,
        created_at: now,
        expires_at: now.plus_ms(SESSION_IDLE_MS),
        revoked_at: None,
        address: address.map(|address| address.to_string()),
        user_agent: user_agent(headers).map(str::to_owned),
    };
    state.store.begin_session(&session, &actor(&user, address)).await?;
    session_out(state, &session, user)
}

/// Who acts while a session begins or goes on.
pub(super) fn actor(user: &User, address: Option<IpAddr>) -> Actor {
    Actor {
        kind: ActorKind::User,
        id: Some(user.id.to_string()),
        name: user.email.clone(),
        address,
        request_id: None,
    }
}

fn wrong() -> Problem {
    Problem::new(Code::Unauthorized, "The address or the password is wrong.")
}
