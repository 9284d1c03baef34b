use axum::Json;

use super::{AttemptOut, InAttempt};
use crate::problem::ProblemDocument;

/// Get an attempt
#[utoipa::path(
    get, path = "/api/v1/app/{app}/msg/{msg}/attempt/{attempt}",
    operation_id = "v1.message-attempt.get", tag = "Message attempt",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or eventId"),
        ("attempt" = String, Path, description = "The attempt's id"),
    ),
    responses((status = 200, body = AttemptOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(InAttempt(_app, attempt): InAttempt) -> Json<AttemptOut> {
    Json(AttemptOut::new(attempt, None, true))
}
