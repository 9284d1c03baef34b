use axum::Json;
use axum::extract::State;

use super::{KeyName, KeyOut};
use crate::AppState;
use crate::problem::{ProblemDocument, Result};

/// End the grace of a rotated key's old secret now
///
/// Without a grace nothing happens.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/key/{key}/secret/end-grace",
    operation_id = "v1.key.end_grace", tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    responses((status = 200, body = KeyOut), (status = 404, body = ProblemDocument)),
)]
pub async fn end_grace(State(state): State<AppState>, name: KeyName) -> Result<Json<KeyOut>> {
    let key = state.keys.end_grace(name.at(), &name.caller.actor()).await?;
    Ok(Json(key.into()))
}
