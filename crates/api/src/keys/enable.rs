use axum::Json;
use axum::extract::State;

use super::{KeyName, KeyOut};
use crate::AppState;
use crate::problem::{ProblemDocument, Result};

/// Enable a key that was disabled
#[utoipa::path(
    post, path = "/api/v1/app/{app}/key/{key}/enable", operation_id = "v1.key.enable", tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    responses((status = 200, body = KeyOut), (status = 404, body = ProblemDocument)),
)]
pub async fn enable(State(state): State<AppState>, name: KeyName) -> Result<Json<KeyOut>> {
    name.mine_to_hand_out(&state).await?;
    let key = state.keys.set_enabled(name.at(), true, &name.caller.actor()).await?;
    Ok(Json(key.into()))
}
