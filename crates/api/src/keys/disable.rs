use axum::Json;
use axum::extract::State;

use super::{KeyName, KeyOut};
use crate::AppState;
use crate::problem::{ProblemDocument, Result};

/// Disable a key until it is enabled again
#[utoipa::path(
    post, path = "/api/v1/app/{app}/key/{key}/disable", operation_id = "v1.key.disable",
    tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    responses((status = 200, body = KeyOut), (status = 404, body = ProblemDocument)),
)]
pub async fn disable(State(state): State<AppState>, name: KeyName) -> Result<Json<KeyOut>> {
    let key = state.keys.set_enabled(name.at(), false, &name.caller.actor()).await?;
    Ok(Json(key.into()))
}
