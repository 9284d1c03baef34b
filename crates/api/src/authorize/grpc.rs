//! The same question over gRPC, as Envoy and many service meshes ask it (`ext_authz`).
//!
//! One call is one HTTP/2 request with one message each way, so it needs no listener of its own:
//! it is a route beside the others, and the answer that proxies over HTTP get is translated. The
//! settings stand in the context extensions of the route, under the name of [`settings::HEADER`],
//! where only the administrator can write.

use std::convert::Infallible;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full};
use prost::Message;

use super::credential::Source;
use super::ext_authz::{
    Allowed, AppendAction, Attributes, CheckRequest, CheckResponse, Denied, Header, HeaderOption,
    HttpRequest, HttpResponse, HttpStatus, Status,
};
use super::settings::{self, BadSettings};
use super::{Asked, client, identity};
use crate::AppState;
use crate::access::{Asker, parse_address};
use crate::extract::read_body;
use crate::problem::Problem;

pub use super::ext_authz::CHECK;

const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// Whether it is compressed, and the length, before each message.
const PREFIX_LEN: usize = 5;
const MAX_BODY_BYTES: usize = 64 * 1024;
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");
/// `google.rpc.Code`: let through, and not.
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;

pub(crate) async fn check(
    State(state): State<AppState>,
    Extension(asker): Extension<Asker>,
    request: axum::extract::Request,
) -> Response {
    let Ok(attributes) = attributes(request).await else { return refused() };
    let settings = attributes.context_extensions.get(settings::HEADER);
    let settings =
        settings.ok_or(BadSettings::Header).and_then(|text| state.proxies.of_query(text));
    let Some(http) = attributes.request.as_ref().and_then(|request| request.http.as_ref()) else {
        return refused();
    };
    let headers = headers_of(http);
    let address = match &settings {
        _ if !asker.is_trusted => asker.address,
        // Envoy has seen this one itself.
        Ok(settings) if settings.hops == 1 => source(&attributes),
        Ok(settings) => client::address(&headers, settings.hops),
        Err(_) => None,
    };
    let kept = settings.as_ref().ok().map(|settings| settings.sources.clone());
    let asked = Asked { headers: &headers, target: &http.path, address, asker };
    let answer = super::answer(&state, settings, asked).await;
    reply(&translated(answer, &kept.unwrap_or_default()).await)
}

async fn attributes(request: axum::extract::Request) -> Result<Attributes, Problem> {
    let bytes = read_body(request, MAX_MESSAGE_BYTES + PREFIX_LEN).await?;
    let message = match bytes.split_at_checked(PREFIX_LEN) {
        Some(([0, length @ ..], message)) if length.len() == 4 => message,
        _ => &[][..],
    };
    let decoded = CheckRequest::decode(message).ok();
    Ok(decoded.and_then(|request| request.attributes).unwrap_or_default())
}

fn source(attributes: &Attributes) -> Option<std::net::IpAddr> {
    let address = attributes.source.as_ref()?.address.as_ref()?.socket_address.as_ref()?;
    parse_address(&address.address)
}

/// What is not the form of a header is left out: no key is found in it.
fn headers_of(http: &HttpRequest) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            headers.insert(name, value);
        }
    }
    headers
}

/// What Envoy makes of an answer over HTTP.
async fn translated(answer: Response, sources: &[Source]) -> CheckResponse {
    let (parts, body) = answer.into_parts();
    let is_identity = |name: &HeaderName| identity::HEADERS.contains(&name.as_str());
    let (upstream, client): (Vec<_>, Vec<_>) =
        parts.headers.iter().partition(|(name, _)| is_identity(name));
    if parts.status == StatusCode::OK {
        let limits = client.into_iter().filter(|(name, _)| name.as_str().contains("ratelimit"));
        let headers_to_remove = sources.iter().filter_map(Source::header_name);
        let allowed = Allowed {
            headers: upstream.into_iter().map(option).collect(),
            headers_to_remove: headers_to_remove.map(|name| name.to_string()).collect(),
            response_headers_to_add: limits.map(option).collect(),
            query_parameters_to_remove: sources.iter().filter_map(Source::parameter).collect(),
        };
        let status = Some(Status { code: OK });
        return CheckResponse { status, http_response: Some(HttpResponse::Allowed(allowed)) };
    }
    let body = http_body_util::Limited::new(body, MAX_BODY_BYTES).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let headers = client.into_iter().filter(|(name, _)| **name != header::CONTENT_LENGTH);
    let denied = Denied {
        status: Some(HttpStatus { code: i32::from(parts.status.as_u16()) }),
        headers: headers.map(option).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let status = Some(Status { code: PERMISSION_DENIED });
    CheckResponse { status, http_response: Some(HttpResponse::Denied(denied)) }
}

/// Overwrites what the client sent under the name, with nothing too.
fn option((name, value): (&HeaderName, &HeaderValue)) -> HeaderOption {
    let value = value.to_str().unwrap_or_default().to_owned();
    HeaderOption {
        header: Some(Header { key: name.to_string(), value }),
        append_action: AppendAction::OverwriteIfExistsOrAdd.into(),
        keep_empty_value: true,
    }
}

fn reply(message: &CheckResponse) -> Response {
    let encoded = message.encode_to_vec();
    let mut framed = Vec::with_capacity(PREFIX_LEN + encoded.len());
    framed.push(0);
    framed.extend_from_slice(&u32::try_from(encoded.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(&encoded);
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let end = std::future::ready(Some(Ok::<_, Infallible>(trailers)));
    let body = Full::new(Bytes::from(framed)).with_trailers(end);
    let grpc = (header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    ([grpc], Body::new(body)).into_response()
}

/// Not a call that we understand: for Envoy an error, which lets nobody through.
fn refused() -> Response {
    let grpc = (header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    ([grpc, (GRPC_STATUS, INVALID_ARGUMENT)]).into_response()
}
