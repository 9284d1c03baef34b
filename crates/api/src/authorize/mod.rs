//! Forward-auth: a proxy asks about every request before it lets it through.
//!
//! The proxy sends us the client's headers. What it wants to be checked its administrator has
//! written down ([`settings`]); where the key stands is searched ([`credential`]), who asks is
//! read from what trusted proxies added ([`client`]), the key is verified, and the answer says
//! yes or no in a form that every proxy understands ([`answer`]), with the key's identity for the
//! upstream ([`identity`]) and its limits for the client ([`rate_limit`]).
//!
//! What must always hold: without settings, without a key, with two keys, or when we cannot tell,
//! the answer is no. These routes are open to whoever reaches them: the caller's key is what they
//! check, and a good answer tells nothing that the holder of the key may not know. Only a trusted
//! proxy is believed where its client is, and only its answers are signed: with a stolen key in
//! hand, an address of the thief's choice would otherwise pass every allow-list.

mod answer;
mod client;
mod credential;
mod document;
mod ext_authz;
pub mod grpc;
mod identity;
pub mod passport;
pub mod rate_limit;
mod settings;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use keys::{LimitUse, VerifyRequest};

use self::answer::Ruling;
use self::credential::Shown;
pub(crate) use self::identity::scopes as scopes_of;
pub(crate) use self::settings::KnownSettings;
use self::settings::{BadSettings, Settings};
use crate::AppState;
use crate::access::{Asker, user_agent};
use crate::problem::{Code, Problem, ProblemDocument};

/// A proxy that appends the client's path appends it here.
pub const PREFIX: &str = "/api/v1/authorize/";

/// Check the key of a request that a proxy has received
///
/// Any method is answered. The settings are this URL's query.
#[utoipa::path(
    get, path = "/api/v1/authorize", operation_id = "v1.key.authorize", tag = "Key",
    security(()),
    params(document::AuthorizeQuery),
    responses(
        (status = 200, description = "The key is good; identity and limits are in the headers"),
        (status = 401, description = "No good key was shown", body = ProblemDocument),
        (status = 403, description = "The key lacks a scope", body = ProblemDocument),
        (status = 429, description = "A limit is used up", body = ProblemDocument),
        (status = 503, description = "It cannot be told now", body = ProblemDocument),
    ),
)]
pub(crate) async fn authorize(
    State(state): State<AppState>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Response {
    let settings = state.proxies.of_query(request.uri().query().unwrap_or_default());
    let (headers, target) = (request.headers(), forwarded_target(request.headers()));
    let address = address_over_http(asker, &settings, headers);
    answer(&state, settings, Asked { headers, target, address, asker }).await
}

/// The same for a proxy that appends the client's path and query to ours: the settings are in a
/// header that it sets itself.
pub(crate) async fn authorize_path(
    State(state): State<AppState>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Response {
    let settings = state.proxies.of_headers(request.headers());
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let headers = request.headers();
    let address = address_over_http(asker, &settings, headers);
    answer(&state, settings, Asked { headers, target, address, asker }).await
}

/// The client's path and query as Traefik and Caddy tell them; our nginx configuration too.
fn forwarded_target(headers: &HeaderMap) -> &str {
    headers.get("x-forwarded-uri").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A client's request, as a proxy tells it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    headers: &'a HeaderMap,
    /// Path and query.
    target: &'a str,
    /// The client's.
    address: Option<IpAddr>,
    asker: Asker,
}

/// Whom we do not know speaks for nobody but itself.
fn address_over_http(
    asker: Asker,
    settings: &Result<Arc<Settings>, BadSettings>,
    headers: &HeaderMap,
) -> Option<IpAddr> {
    match settings {
        Ok(settings) if asker.is_trusted => client::address(headers, settings.hops),
        _ => asker.address,
    }
}

async fn answer(
    state: &AppState,
    settings: Result<Arc<Settings>, BadSettings>,
    asked: Asked<'_>,
) -> Response {
    let settings = match settings {
        Ok(settings) => settings,
        Err(why) => return misconfigured(why.to_string()),
    };
    let query = asked.target.split_once('?').map_or("", |(_, query)| query);
    let Shown::Key(token) = credential::find(&settings.sources, asked.headers, query) else {
        return answer::of(state, &settings, Ruling::default());
    };
    let limits: Vec<LimitUse<'_>> =
        settings.limits.iter().map(|name| LimitUse { name, cost: settings.cost }).collect();
    let question = VerifyRequest {
        keyspace: Some(&settings.keyspace),
        environment: settings.environment.as_deref(),
        scopes: settings.scopes.as_ref(),
        address: asked.address,
        peer: asked.address,
        user_agent: user_agent(asked.headers),
        cost: settings.cost,
        limits: &limits,
        ..VerifyRequest::new(&token)
    };
    let verdict = state.keys.verify(question).await;
    let ruling = Ruling { verdict: Some(&verdict), signed: asked.asker.is_trusted };
    answer::of(state, &settings, ruling)
}

/// The proxy's administrator has to hear of it, and nobody gets through.
fn misconfigured(why: String) -> Response {
    tracing::warn!(why, "a proxy asks with settings that are not right");
    Problem::new(Code::InvalidRequest, why).into_response()
}
