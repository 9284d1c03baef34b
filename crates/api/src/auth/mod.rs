//! Sessions: logging in and out, for users and for people in a product's portal.

pub mod app_portal_access;
pub mod expire_all;
pub mod login;
pub mod logout;
pub mod oidc;
pub mod password;
pub mod refresh;
pub mod whoami;

use axum::Json;
use axum::response::Response;
use model::access::{Session, User};
use serde::Serialize;
use utoipa::ToSchema;

use crate::AppState;
use crate::problem::{Code, Problem, Result};
use crate::users::UserOut;
use crate::wire::{Moment, never_stored};

/// Passwords are being checked as fast as they may.
const BUSY_RETRY_S: u64 = 2;

/// What a session works with: a short token for requests, and a token to renew it with, once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionOut {
    /// For `Authorization: Bearer`.
    pub token: String,
    pub expires_at: Moment,
    /// For `/auth/refresh`, once.
    pub refresh_token: String,
    pub refresh_expires_at: Moment,
    pub session_id: String,
    pub user: UserOut,
}

/// Answers a session with its tokens. No cache may keep it.
fn session_out(state: &AppState, session: &Session, user: User) -> Result<Response> {
    let now = state.store.clock().now();
    let keys = &state.access.sessions.keys;
    let token = keys.sign_short(session.id, user.id.as_str(), now, session.expires_at);
    let token = token.map_err(|_| Problem::new(Code::Internal, "The token was not signed."))?;
    let expires_at = now.plus_ms(model::access::SESSION_TOKEN_MS).min(session.expires_at);
    let body = SessionOut {
        token,
        expires_at: Moment(expires_at),
        refresh_token: keys.refresh_token(session.id, session.generation),
        refresh_expires_at: Moment(session.expires_at),
        session_id: session.id.to_string(),
        user: user.into(),
    };
    Ok(never_stored(Json(body)))
}

fn busy() -> Problem {
    Problem::new(Code::Unavailable, "Too many people log in at this moment. Try again.")
        .retry_after_s(BUSY_RETRY_S)
}
