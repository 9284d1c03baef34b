use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::wish::KeyIn;
use super::{KeyWithToken, service};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::problem::{ProblemDocument, Result};
use crate::wire::never_stored;

/// Create a key; its token is in this answer and nowhere else
#[utoipa::path(
    post, path = "/api/v1/app/{app}/key", operation_id = "v1.key.create", tag = "Key",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = KeyIn,
    responses(
        (status = 201, body = KeyWithToken),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    Body(wish): Body<KeyIn>,
) -> Result<Response> {
    service::check(&state, &caller, wish.handed(app.id)).await?;
    let minted = state.keys.create_key(wish.in_app(app.id), &caller.actor()).await?;
    let made: KeyWithToken = minted.into();
    Ok(never_stored((StatusCode::CREATED, Json(made))))
}
