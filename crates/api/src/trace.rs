//! A request id for every request, in the log and in the answer.

use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::AppState;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What published clients send.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("svix-req-id");
const MAX_LEN: usize = 128;

/// The id of a request, for whoever writes down what it did.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub fn of(parts: &Parts) -> Option<Self> {
        parts.extensions.get().cloned()
    }

    pub fn text(&self) -> Option<String> {
        self.0.to_str().ok().map(str::to_owned)
    }
}

/// Takes the caller's id if there is a usable one, else makes one.
pub async fn request_id(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = given(&request).unwrap_or_else(|| made(&state));
    request.extensions_mut().insert(RequestId(id.clone()));
    if !tracing::enabled!(tracing::Level::DEBUG) {
        let mut response = next.run(request).await;
        response.headers_mut().insert(REQUEST_ID, id);
        return response;
    }
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let span = tracing::debug_span!("request", id = ?id, method = %request.method(), path);
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn given(request: &Request) -> Option<HeaderValue> {
    let headers = request.headers();
    let id = headers.get(REQUEST_ID).or_else(|| headers.get(CLIENT_REQUEST_ID))?;
    let printable = id.as_bytes().iter().all(u8::is_ascii_graphic);
    (printable && !id.is_empty() && id.len() <= MAX_LEN).then(|| id.clone())
}

fn made(state: &AppState) -> HeaderValue {
    let id = format!("req_{:016x}", state.store.entropy().next_u64());
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("req_"))
}
