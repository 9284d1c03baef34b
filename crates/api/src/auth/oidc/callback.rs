use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use model::oidc::Login;
use serde::Deserialize;
use utoipa::IntoParams;

use super::client::AskError;
use super::start::unavailable;
use super::{Oidc, configured, person};
use crate::AppState;
use crate::access::ClientAddress;
use crate::auth::SessionOut;
use crate::auth::login::{actor, begin};
use crate::extract::Query;
use crate::problem::{Code, Problem, ProblemDocument, Result};

const MAX_CODE_BYTES: usize = 4 * 1024;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallbackQuery {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    /// Why there is no code.
    #[serde(default)]
    error: Option<String>,
    /// Who sends the browser here.
    #[serde(default)]
    iss: Option<String>,
}

/// Come back from the identity provider
///
/// The answer is a session, as after a login with a password.
#[utoipa::path(
    get, path = "/api/v1/auth/oidc/callback", operation_id = "v1.authentication.oidc.callback",
    tag = "Authentication", security(()), params(CallbackQuery),
    responses(
        (status = 200, body = SessionOut),
        (status = 401, body = ProblemDocument),
        (status = 403, body = ProblemDocument, description = "Nobody here is meant"),
        (status = 404, body = ProblemDocument, description = "No identity provider is configured"),
        (status = 503, body = ProblemDocument, description = "It does not answer"),
    ),
)]
pub async fn callback(
    State(state): State<AppState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    Query(query): Query<CallbackQuery>,
) -> Result<Response> {
    let oidc = configured(&state)?;
    state.access.guards.login_from(address).await?;
    let login = returned(&state, oidc, &headers, &query).await?;
    let user = user(&state, oidc, &query.code, &login, address).await?;
    let mut response = begin(&state, user, address, &headers).await?;
    if let Some(taken_back) = oidc.take_back() {
        response.headers_mut().insert(header::SET_COOKIE, taken_back);
    }
    Ok(response)
}

/// The login that comes back here: begun in this browser, in time, for the first time.
async fn returned(
    state: &AppState,
    oidc: &Oidc,
    headers: &HeaderMap,
    query: &CallbackQuery,
) -> Result<Login> {
    let login = oidc.carried(headers).filter(|login| {
        let is_same =
            verify_slices_are_equal(login.state.as_bytes(), query.state.as_bytes()).is_ok();
        is_same && state.store.clock().now() < login.expires_at
    });
    let login = login.ok_or_else(|| refused("no such login was begun in this browser"))?;
    if !state.store.login_returned(&login.state, login.expires_at).await? {
        return Err(refused("it came back before"));
    }
    if let Some(error) = &query.error {
        tracing::info!(error, "the identity provider logs nobody in");
        return Err(refused("the provider says no"));
    }
    if query.iss.as_ref().is_some_and(|issuer| *issuer != oidc.options.issuer) {
        return Err(refused("another provider sends it"));
    }
    if query.code.is_empty() || query.code.len() > MAX_CODE_BYTES {
        return Err(refused("it has no code"));
    }
    Ok(login)
}

async fn user(
    state: &AppState,
    oidc: &Oidc,
    code: &str,
    login: &Login,
    address: Option<IpAddr>,
) -> Result<model::access::User> {
    let person = match oidc.client.person(code, login, state.store.clock()).await {
        Ok(person) => person,
        Err(why @ AskError::Provider(_)) => return Err(unavailable(&why.to_string())),
        Err(why) => return Err(refused(&why.to_string())),
    };
    person::user(state, &oidc.options, person, |user| actor(user, address)).await
}

/// One answer for all that is not right; the reason is for the log.
fn refused(why: &str) -> Problem {
    tracing::info!(why, "a login through the identity provider is refused");
    Problem::new(Code::Unauthorized, "The login is not good or is over. Begin it again.")
}
