use axum::Json;

use super::{InUser, UserOut};
use crate::problem::ProblemDocument;

/// Get a user
#[utoipa::path(
    get, path = "/api/v1/user/{user}", operation_id = "v1.user.get", tag = "User",
    params(("user" = String, Path, description = "The user's id")),
    responses((status = 200, body = UserOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(InUser(user): InUser) -> Json<UserOut> {
    Json(user.into())
}
