//! Problems: everything that can go wrong for a caller, as one closed list.
//!
//! The body is an RFC 9457 problem document that also carries `code` and `detail` where clients
//! of the delivery contract look for them. Each problem has two messages: `detail` for the
//! caller, `source` for the log. The log line is written once, here.

use std::borrow::Cow;
use std::fmt::Display;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keys::KeysError;
use keys::limiter::Standing;
use serde::Serialize;
use store::{PublishError, StoreError};
use utoipa::ToSchema;

use crate::authorize::rate_limit;

/// Where the problems are described; a code is appended.
const TYPE_BASE: &str = "urn:doorbell:problem:";
/// What callers are asked to wait when the database does not answer, in seconds.
const UNAVAILABLE_RETRY_S: u64 = 1;

/// The closed list. A variant without a status and a title does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    InvalidRequest,
    InvalidJson,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    EventIdTaken,
    PayloadErased,
    EndpointDisabled,
    NotCancelable,
    TaskState,
    ChainTooLong,
    NotActive,
    NothingToCollect,
    RequestInProgress,
    PayloadTooLarge,
    Validation,
    TargetRefused,
    IdempotencyMismatch,
    Overloaded,
    RateLimited,
    Internal,
    Unavailable,
}

impl Code {
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.facts().0
    }

    const fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => {
                (StatusCode::BAD_REQUEST, "invalid_request", "The request is not understood")
            }
            Self::InvalidJson => {
                (StatusCode::BAD_REQUEST, "invalid_json", "The body is not the JSON that is wanted")
            }
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed")
            }
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "forbidden", "The token does not allow this")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is no such thing"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The path does not know this method",
            ),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Something else has this name"),
            Self::EventIdTaken => {
                (StatusCode::CONFLICT, "event_id_taken", "A message with this event id exists")
            }
            Self::PayloadErased => {
                (StatusCode::CONFLICT, "payload_erased", "The payload is no longer kept")
            }
            Self::EndpointDisabled => {
                (StatusCode::CONFLICT, "endpoint_disabled", "The endpoint is disabled")
            }
            Self::NotCancelable => {
                (StatusCode::CONFLICT, "not_cancelable", "The delivery cannot be canceled")
            }
            Self::NotActive => (StatusCode::CONFLICT, "not_active", "There is nothing to end"),
            Self::TaskState => {
                (StatusCode::CONFLICT, "task_state", "The task is not in a state for this")
            }
            Self::ChainTooLong => {
                (StatusCode::CONFLICT, "chain_too_long", "It was replayed too many times over")
            }
            Self::NothingToCollect => {
                (StatusCode::CONFLICT, "nothing_to_collect", "No token waits to be collected")
            }
            Self::RequestInProgress => (
                StatusCode::CONFLICT,
                "request_in_progress",
                "The first request with this key is still being answered",
            ),
            Self::PayloadTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "The body is too large")
            }
            Self::Validation => {
                (StatusCode::UNPROCESSABLE_ENTITY, "validation_error", "Some fields are not valid")
            }
            Self::TargetRefused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "target_refused", "The URL may not be called")
            }
            Self::IdempotencyMismatch => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_mismatch",
                "The key was used for another request",
            ),
            Self::Overloaded => {
                (StatusCode::TOO_MANY_REQUESTS, "overloaded", "Too much is waiting to be written")
            }
            Self::RateLimited => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limited", "A limit is used up")
            }
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side")
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again in a moment")
            }
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().1
    }

    const fn title(self) -> &'static str {
        self.facts().2
    }
}

/// One field that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where it is, for instance `["body", "url"]`.
    pub loc: Vec<String>,
    pub msg: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// The document that callers get.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    #[serde(rename = "type")]
    pub type_uri: String,
    pub title: &'static str,
    pub status: u16,
    pub code: &'static str,
    /// A text; for 422 the list of the fields.
    #[schema(value_type = Object)]
    pub detail: Detail,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Detail {
    Text(Cow<'static, str>),
    Fields(Vec<FieldError>),
}

#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    fields: Vec<FieldError>,
    source: Option<String>,
    retry_after_s: Option<u64>,
    limits: Vec<Standing>,
}

pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            fields: Vec::new(),
            source: None,
            retry_after_s: None,
            limits: Vec::new(),
        }
    }

    /// The thing named by `what` does not exist, or is another tenant's.
    #[must_use]
    pub fn not_found(what: &'static str) -> Self {
        Self::new(Code::NotFound, format!("No such {what}."))
    }

    /// One field of the body is not valid.
    pub fn field(name: &str, why: impl Display) -> Self {
        Self::at(&["body", name], why)
    }

    /// One place of the request is not valid.
    pub fn at(loc: &[&str], why: impl Display) -> Self {
        Self::new(Code::Validation, "").with_field(loc, why, "value_error")
    }

    #[must_use]
    pub fn with_field(mut self, loc: &[&str], why: impl Display, kind: &'static str) -> Self {
        let loc = loc.iter().map(ToString::to_string).collect();
        self.fields.push(FieldError { loc, msg: why.to_string(), kind });
        self
    }

    #[must_use]
    pub const fn retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Where the limits stand that were in the way: callers find them in the headers.
    #[must_use]
    pub fn limited_by(mut self, limits: Vec<Standing>) -> Self {
        self.limits = limits;
        self
    }

    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    #[must_use]
    pub fn document(self) -> ProblemDocument {
        let detail = if self.code.status() == StatusCode::UNPROCESSABLE_ENTITY {
            Detail::Fields(self.fields_or_detail())
        } else {
            Detail::Text(self.detail)
        };
        ProblemDocument {
            type_uri: format!("{TYPE_BASE}{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail,
        }
    }

    fn fields_or_detail(&self) -> Vec<FieldError> {
        if !self.fields.is_empty() {
            return self.fields.clone();
        }
        let whole = FieldError {
            loc: vec!["body".to_owned()],
            msg: self.detail.clone().into_owned(),
            kind: self.code.as_str(),
        };
        vec![whole]
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let status = self.code.status();
        if let Some(source) = &self.source {
            tracing::error!(code = self.code.as_str(), source, "request failed");
        }
        let retry_after =
            self.retry_after_s.and_then(|s| HeaderValue::from_str(&s.to_string()).ok());
        let limits = std::mem::take(&mut self.limits);
        let mut response = (status, Json(self.document())).into_response();
        let headers = response.headers_mut();
        if !limits.is_empty() {
            let told = rate_limit::Told { limits: &limits, retry_after_ms: Some(0), legacy: true };
            rate_limit::write(headers, told);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(retry_after) = retry_after {
            headers.insert(header::RETRY_AFTER, retry_after);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let mut problem = match error {
            StoreError::Corrupt { .. } | StoreError::Vault(_) => {
                Self::new(Code::Internal, "The server could not read what it stored.")
            }
            _ => {
                Self::new(Code::Unavailable, "The database did not answer. Send the request again.")
                    .retry_after_s(UNAVAILABLE_RETRY_S)
            }
        };
        problem.source = Some(error.to_string());
        problem
    }
}

impl From<KeysError> for Problem {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Store(error) => error.into(),
            KeysError::NotFound(what) => Self::not_found(what),
            KeysError::Taken(what) => {
                Self::new(Code::Conflict, format!("Another one has this {what}."))
            }
            KeysError::Contended(_) => {
                Self::new(Code::Conflict, "Others are changing this. Send the request again.")
            }
            KeysError::NothingWaits => Self::new(
                Code::NothingToCollect,
                "The key was not rotated by a policy, its token was collected before, or the time \
                 for it is over. Rotate the key to get a new one.",
            ),
            KeysError::InUse => Self::new(Code::Conflict, "The keyspace still has keys."),
            KeysError::Invalid { field, why } => Self::field(field, why),
            KeysError::Busy => {
                Self::new(Code::Unavailable, "Too many keys are being made. Send it again.")
                    .retry_after_s(UNAVAILABLE_RETRY_S)
            }
            KeysError::Tampered(_) | KeysError::OtherPeppers => {
                let mut problem =
                    Self::new(Code::Internal, "The server does not trust what it stored.");
                problem.source = Some(error.to_string());
                problem
            }
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::AppNotFound => Self::not_found("application"),
            PublishError::EventIdTaken => Self::new(
                Code::EventIdTaken,
                "A message with this eventId exists in the application already.",
            ),
            PublishError::IdempotencyMismatch => Self::new(
                Code::IdempotencyMismatch,
                "This Idempotency-Key was used for another message. Use a new key for a new message.",
            ),
            PublishError::Overloaded => Self::new(
                Code::Overloaded,
                "Too many messages wait to be written. Send this one again.",
            )
            .retry_after_s(UNAVAILABLE_RETRY_S),
            // The writer has logged why, once for all who waited.
            PublishError::Unavailable(_) => {
                Self::new(Code::Unavailable, "The message was not written. Send it again.")
                    .retry_after_s(UNAVAILABLE_RETRY_S)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_body_serves_both_readers() {
        let text = |problem: Problem| serde_json::to_value(problem.document()).unwrap();
        assert_eq!(
            text(Problem::not_found("endpoint")),
            serde_json::json!({
                "type": "urn:doorbell:problem:not_found",
                "title": "There is no such thing",
                "status": 404,
                "code": "not_found",
                "detail": "No such endpoint.",
            })
        );
        assert_eq!(
            text(Problem::field("url", "must be https"))["detail"],
            serde_json::json!([{"loc": ["body", "url"], "msg": "must be https", "type": "value_error"}])
        );
    }
}
