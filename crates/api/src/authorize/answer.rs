//! What the proxy is told.
//!
//! Whoever shows no good key gets one and the same 401, whatever was wrong: a thief learns nothing
//! from it. Only the holder of a good key hears more: which scope is missing (403), which limit is
//! used up (429). The full reason is for the product's own eyes: `/key/verify`, and the key's
//! usage.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keys::Verdict;
use model::key::decide::Code as Decision;

use super::settings::{Compat, Settings};
use super::{identity, rate_limit};
use crate::AppState;
use crate::problem::{Code, Problem};

/// The true status, for a proxy that understands only some.
const AUTH_STATUS: HeaderName = HeaderName::from_static("x-auth-status");
/// What Envoy removes from the request before it goes on.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");
const UNAVAILABLE_RETRY_MS: u64 = 1_000;

/// What was found out, and whether we sign it.
#[derive(Clone, Copy, Default)]
pub(super) struct Ruling<'a> {
    /// None: no key was shown, or no usable one.
    pub verdict: Option<&'a Verdict>,
    pub signed: bool,
}

pub(super) fn of(state: &AppState, settings: &Settings, ruling: Ruling<'_>) -> Response {
    let verdict = ruling.verdict;
    let decision = verdict.map_or(Decision::Malformed, |verdict| verdict.code);
    let mut response = match decision {
        Decision::Valid => StatusCode::OK.into_response(),
        Decision::InsufficientScope => lacks_scope(settings),
        Decision::RateLimited => {
            Problem::new(Code::RateLimited, "This key has used up a limit.").into_response()
        }
        Decision::Unavailable => {
            Problem::new(Code::Unavailable, "The key cannot be checked now.").into_response()
        }
        _ => Problem::new(Code::Unauthorized, "A valid API key is needed.").into_response(),
    };
    let good = decision == Decision::Valid;
    let known = matches!(decision, Decision::Valid | Decision::RateLimited);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let entry = verdict.filter(|_| good).and_then(|verdict| verdict.entry.as_deref());
    identity::write(headers, entry, ruling.signed.then_some(state));
    let limits = verdict.filter(|_| known).map_or(&[][..], |verdict| &verdict.limits[..]);
    let retry_after_ms = match decision {
        Decision::RateLimited => verdict.and_then(|verdict| verdict.retry_after_ms).or(Some(0)),
        Decision::Unavailable => Some(UNAVAILABLE_RETRY_MS),
        _ => None,
    };
    let told = rate_limit::Told { limits, retry_after_ms, legacy: settings.legacy_headers };
    rate_limit::write(headers, told);
    remove_credential(settings, headers);
    for_proxy(settings.compat, response)
}

fn lacks_scope(settings: &Settings) -> Response {
    let needed = settings.scopes.as_ref().map(ToString::to_string).unwrap_or_default();
    let detail = format!("This key does not have the scopes for this: {needed}");
    let mut response = Problem::new(Code::Forbidden, detail).into_response();
    let quoted = needed.replace(['"', '\\'], "");
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{quoted}\"");
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Tells Envoy to keep the key from the upstream; other proxies are told by their configuration.
fn remove_credential(settings: &Settings, headers: &mut HeaderMap) {
    if !settings.path_is_clients {
        return;
    }
    let names = settings.sources.iter().filter_map(super::credential::Source::header_name);
    let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.dedup();
    if let Ok(names) = HeaderValue::from_str(&names.join(",")) {
        headers.insert(TO_REMOVE, names);
    }
}

/// nginx takes every status but 401 and 403 for a fault and answers 500.
fn for_proxy(compat: Compat, mut response: Response) -> Response {
    let status = response.status();
    response.headers_mut().insert(AUTH_STATUS, status.as_u16().into());
    let nginx_understands =
        matches!(status, StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if compat == Compat::Nginx && !nginx_understands {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    response
}
