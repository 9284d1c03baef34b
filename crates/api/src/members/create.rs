use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::access::{Member, Role, User, normal_email};
use serde::Deserialize;
use store::{MemberPut, NamedMember};
use utoipa::ToSchema;

use super::{MemberOut, put};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::problem::{Problem, ProblemDocument, Result};

/// Who becomes a member: by `userId` or by `email`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberIn {
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[schema(value_type = String)]
    role: Role,
}

/// Make a user a member of an application, or change their role
#[utoipa::path(
    post, path = "/api/v1/app/{app}/member", operation_id = "v1.member.create", tag = "Member",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = MemberIn,
    responses(
        (status = 201, body = MemberOut),
        (status = 200, body = MemberOut, description = "They were a member; the role is changed"),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    Body(wish): Body<MemberIn>,
) -> Result<(StatusCode, Json<MemberOut>)> {
    let user = find(&state, &wish).await?;
    let before = state.store.member_in_app(app.id, user.id).await?;
    if let Some(before) = &before {
        caller.need_rank(before.role, Some(app.id))?;
    }
    let now = state.store.clock().now();
    let member = Member {
        app_id: app.id,
        user_id: user.id,
        role: wish.role,
        created_at: before.map_or(now, |member| member.created_at),
        updated_at: now,
    };
    let status = match put(&state, &caller, &member).await? {
        MemberPut::Created => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    Ok((status, Json(NamedMember::new(member, user).into())))
}

async fn find(state: &AppState, wish: &MemberIn) -> Result<User> {
    let (field, found) = match (&wish.user_id, &wish.email) {
        (Some(id), None) => match id.parse() {
            Ok(id) => ("userId", state.store.user(id).await?),
            Err(_) => ("userId", None),
        },
        (None, Some(email)) => {
            let email = normal_email(email).unwrap_or_default();
            let found = state.store.user_by_email(&email).await?;
            ("email", found.map(|(user, _)| user))
        }
        _ => return Err(Problem::field("userId", "give either userId or email")),
    };
    found.ok_or_else(|| Problem::field(field, "there is no such user"))
}
