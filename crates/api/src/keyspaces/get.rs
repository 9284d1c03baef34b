use axum::Json;

use super::{InKeyspace, KeyspaceOut};
use crate::problem::ProblemDocument;

/// Get a keyspace
#[utoipa::path(
    get, path = "/api/v1/keyspace/{keyspace}", operation_id = "v1.keyspace.get", tag = "Keyspace",
    params(("keyspace" = String, Path, description = "The keyspace's id or uid")),
    responses((status = 200, body = KeyspaceOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(InKeyspace(keyspace): InKeyspace) -> Json<KeyspaceOut> {
    Json(keyspace.into())
}
