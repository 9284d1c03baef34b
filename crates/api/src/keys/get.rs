use axum::Json;

use super::{InKey, KeyWithUse};
use crate::problem::ProblemDocument;

/// Get a key
#[utoipa::path(
    get, path = "/api/v1/app/{app}/key/{key}", operation_id = "v1.key.get", tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    responses((status = 200, body = KeyWithUse), (status = 404, body = ProblemDocument)),
)]
pub async fn get(InKey(row): InKey) -> Json<KeyWithUse> {
    Json(row.into())
}
