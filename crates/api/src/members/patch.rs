use axum::Json;
use axum::extract::State;
use model::access::Role;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{InMember, MemberOut, put};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::{ProblemDocument, Result};

#[derive(Debug, Deserialize, ToSchema)]
pub struct MemberPatch {
    #[schema(value_type = String)]
    role: Role,
}

/// Change the role of a member
#[utoipa::path(
    patch, path = "/api/v1/app/{app}/member/{user}", operation_id = "v1.member.patch",
    tag = "Member",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("user" = String, Path, description = "The user's id"),
    ),
    request_body = MemberPatch,
    responses(
        (status = 200, body = MemberOut),
        (status = 403, body = ProblemDocument, description = "The role is above yours"),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn patch(
    State(state): State<AppState>,
    caller: Caller,
    InMember(app, mut named): InMember,
    Body(wish): Body<MemberPatch>,
) -> Result<Json<MemberOut>> {
    caller.need_rank(named.member.role, Some(app.id))?;
    named.member.role = wish.role;
    named.member.updated_at = state.store.clock().now();
    put(&state, &caller, &named.member).await?;
    Ok(Json(named.into()))
}
