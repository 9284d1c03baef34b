use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::oidc::{Login, Provider};
use url::Url;

use super::{OidcOptions, configured};
use crate::AppState;
use crate::problem::{Code, Problem, ProblemDocument, Result};
use crate::wire::never_stored;

const RETRY_S: u64 = 5;
const SCOPE: &str = "openid email profile";

/// Log in at the identity provider
///
/// For browsers: sends them to the provider, which sends them back to the callback.
#[utoipa::path(
    get, path = "/api/v1/auth/oidc/start", operation_id = "v1.authentication.oidc.start",
    tag = "Authentication", security(()),
    responses(
        (status = 302, description = "To the identity provider"),
        (status = 404, body = ProblemDocument, description = "No identity provider is configured"),
        (status = 503, body = ProblemDocument, description = "It does not answer"),
    ),
)]
pub async fn start(State(state): State<AppState>) -> Result<Response> {
    let oidc = configured(&state)?;
    let clock = state.store.clock();
    let provider = oidc.client.provider(clock).await;
    let provider = provider.map_err(|why| unavailable(&why.to_string()))?;
    let login = Login::begin(clock.now(), state.store.entropy());
    let place =
        authorization(&provider, &oidc.options, &login).ok_or_else(|| unavailable("URL"))?;
    let headers = [(header::LOCATION, place), (header::SET_COOKIE, oidc.give(&login)?)];
    Ok(never_stored((StatusCode::FOUND, headers).into_response()))
}

fn authorization(provider: &Provider, options: &OidcOptions, login: &Login) -> Option<HeaderValue> {
    let mut url = Url::parse(&provider.authorization_endpoint).ok()?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &options.client_id)
        .append_pair("redirect_uri", &options.redirect_url)
        .append_pair("scope", SCOPE)
        .append_pair("state", &login.state)
        .append_pair("nonce", &login.nonce)
        .append_pair("code_challenge", &login.challenge())
        .append_pair("code_challenge_method", "S256");
    HeaderValue::from_str(url.as_str()).ok()
}

/// The provider is; the reason is for the log.
pub(super) fn unavailable(why: &str) -> Problem {
    tracing::warn!(why, "the identity provider cannot be asked");
    Problem::new(Code::Unavailable, "The identity provider does not answer. Try again.")
        .retry_after_s(RETRY_S)
}
