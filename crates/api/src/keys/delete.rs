use axum::extract::State;
use axum::http::StatusCode;

use super::KeyName;
use crate::AppState;
use crate::problem::{ProblemDocument, Result};

/// Delete a key with its secrets and usage
///
/// To end a key and keep its record, revoke it.
#[utoipa::path(
    delete, path = "/api/v1/app/{app}/key/{key}", operation_id = "v1.key.delete", tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete(State(state): State<AppState>, name: KeyName) -> Result<StatusCode> {
    state.keys.delete_key(name.at(), &name.caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
