use axum::Json;

use super::{InMember, MemberOut};
use crate::problem::ProblemDocument;

/// Get a member of an application
#[utoipa::path(
    get, path = "/api/v1/app/{app}/member/{user}", operation_id = "v1.member.get",
    tag = "Member",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("user" = String, Path, description = "The user's id"),
    ),
    responses((status = 200, body = MemberOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(InMember(_app, member): InMember) -> Json<MemberOut> {
    Json(member.into())
}
