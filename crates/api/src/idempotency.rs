//! `Idempotency-Key` on every POST but publishing: the same key with the same request gets the
//! first answer again. Publishing keeps the key with the message, in one commit.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use store::{Answer, AnswerState};

use crate::AppState;
use crate::access::Caller;
use crate::extract::read_body;
use crate::messages::idempotency_key;
use crate::problem::{Code, Problem};
use crate::wire::never_stored;

const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Remembers answers of 2xx; after any other the request may be sent again.
pub async fn remember(State(state): State<AppState>, request: Request, next: Next) -> Response {
    // Without a caller there is nobody whom a key could belong to.
    let caller = request.extensions().get::<Caller>().cloned();
    let (Some(caller), &Method::POST) = (caller, request.method()) else {
        return next.run(request).await;
    };
    match idempotency_key(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => answer_once(&state, &caller, &key, request, next)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

async fn answer_once(
    state: &AppState,
    caller: &Caller,
    key: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // The key belongs to whoever sent it: another caller's is another key.
    let keys = &state.access.sessions.keys;
    let key = keys.scoped(caller.id().as_bytes(), key);
    let body = read_body(Request::new(body), MAX_BODY_BYTES).await?;
    let fingerprint = keys.scoped(&body, &format!("{} {}", parts.method, parts.uri));
    match state.store.begin_answer(&key, &fingerprint).await? {
        AnswerState::New => {}
        AnswerState::Done(answer) => return Ok(repeated(answer)),
        AnswerState::InProgress => {
            return Err(Problem::new(
                Code::RequestInProgress,
                "The first request with this Idempotency-Key is still being answered.",
            )
            .retry_after_s(1));
        }
        AnswerState::Mismatch => {
            return Err(Problem::new(
                Code::IdempotencyMismatch,
                "This Idempotency-Key was used for another request. Use a new key.",
            ));
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if !response.status().is_success() {
        state.store.forget_answer(&key).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answer = Answer { status: parts.status.as_u16(), body: bytes.to_vec() };
    state.store.finish_answer(&key, &answer).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// Some of these hold a token.
fn repeated(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    never_stored((status, [json], answer.body))
}
