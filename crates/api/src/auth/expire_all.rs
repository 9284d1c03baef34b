use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use store::MAX_LABELS;
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::extract::{InApp, OptionalBody};
use crate::problem::{Problem, ProblemDocument, Result};

const MAX_EXPIRY_S: u64 = 7 * 24 * 60 * 60;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationTokenExpireIn {
    /// Seconds until they end; at once if not given.
    #[serde(default)]
    expiry: Option<u64>,
    /// Only sessions that were opened with one of these.
    #[serde(default)]
    session_ids: Option<Vec<String>>,
}

/// End the portal sessions of an application
#[utoipa::path(
    post, path = "/api/v1/auth/app/{app}/expire-all",
    operation_id = "v1.authentication.expire-all", tag = "Authentication",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = ApplicationTokenExpireIn,
    responses(
        (status = 204),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn expire_all(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    OptionalBody(wish): OptionalBody<ApplicationTokenExpireIn>,
) -> Result<StatusCode> {
    let expiry_s = wish.expiry.unwrap_or(0);
    if expiry_s > MAX_EXPIRY_S {
        return Err(Problem::field("expiry", format!("may be at most {MAX_EXPIRY_S} seconds")));
    }
    let labels = wish.session_ids.unwrap_or_default();
    if labels.len() > MAX_LABELS {
        let why = format!("may have at most {MAX_LABELS} entries");
        return Err(Problem::field("sessionIds", why));
    }
    if labels.iter().any(|label| label.contains('\0')) {
        return Err(Problem::field("sessionIds", "must not hold a NUL"));
    }
    let at = state.store.clock().now().plus_ms(expiry_s.saturating_mul(1_000));
    state.store.end_portal_sessions(app.id, &labels, at, &caller.actor()).await?;
    state.access.sessions.forget_all();
    Ok(StatusCode::NO_CONTENT)
}
