//! Has the receiver been seen to accept the current secret? A process that delivers finds out;
//! here it is asked to, and the answer is read.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::secret_history::SecretCheckOut;
use crate::AppState;
use crate::access::Caller;
use crate::extract::InEndpoint;
use crate::problem::{Code, Problem, ProblemDocument, Result};

/// Find out whether the receiver accepts the current secret
///
/// Two messages of the type `doorbell.secret_check` are sent at once, beside the queue: one signed
/// with the current secret alone, and one signed with a secret that nobody has, to see that
/// signatures are verified at all. Ask with GET for what came of it.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret/check",
    operation_id = "v1.endpoint.check-secret", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses(
        (status = 202, body = SecretCheckOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "The endpoint is disabled"),
    ),
)]
pub async fn request(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
) -> Result<(StatusCode, Json<SecretCheckOut>)> {
    if endpoint.disabled.is_some() {
        let why = "Nothing would be sent: the endpoint is disabled. Enable it first.";
        return Err(Problem::new(Code::EndpointDisabled, why));
    }
    let by = caller.actor();
    let requested = state.store.request_secret_check(app.id, endpoint.id, &by).await?;
    let check = requested.as_ref().and_then(SecretCheckOut::of);
    check.map(|check| (StatusCode::ACCEPTED, Json(check))).ok_or_else(none)
}

/// Tell what came of the newest check
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret/check",
    operation_id = "v1.endpoint.get-secret-check", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = SecretCheckOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(
    State(state): State<AppState>,
    InEndpoint(app, endpoint): InEndpoint,
) -> Result<Json<SecretCheckOut>> {
    let newest = state.store.newest_secret_check(app.id, endpoint.id).await?;
    newest.as_ref().and_then(SecretCheckOut::of).map(Json).ok_or_else(none)
}

fn none() -> Problem {
    Problem::not_found("secret check")
}
