use axum::extract::State;
use axum::http::StatusCode;

use super::KeyspaceName;
use crate::AppState;
use crate::problem::{ProblemDocument, Result};

/// Delete a keyspace that has no keys
#[utoipa::path(
    delete, path = "/api/v1/keyspace/{keyspace}", operation_id = "v1.keyspace.delete",
    tag = "Keyspace",
    params(("keyspace" = String, Path, description = "The keyspace's id or uid")),
    responses(
        (status = 204),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It still has keys"),
    ),
)]
pub async fn delete(
    State(state): State<AppState>,
    KeyspaceName(caller, name): KeyspaceName,
) -> Result<StatusCode> {
    state.keys.delete_keyspace(&name, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
