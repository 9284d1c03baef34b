use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{KeyspaceIn, KeyspaceOut, check_uid};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::{ProblemDocument, Result};

/// Create a keyspace
#[utoipa::path(
    post, path = "/api/v1/keyspace", operation_id = "v1.keyspace.create", tag = "Keyspace",
    request_body = KeyspaceIn,
    responses(
        (status = 201, body = KeyspaceOut),
        (status = 409, body = ProblemDocument, description = "The uid is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(wish): Body<KeyspaceIn>,
) -> Result<(StatusCode, Json<KeyspaceOut>)> {
    check_uid(wish.uid.as_deref())?;
    let keyspace = state.keys.create_keyspace(wish.into(), &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(keyspace.into())))
}
