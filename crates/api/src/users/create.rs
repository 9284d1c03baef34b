use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::UserId;
use model::access::{Role, User};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{UserOut, check_name, check_rank, email, email_taken, new_hash};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::{ProblemDocument, Result};

#[derive(Deserialize, ToSchema)]
pub struct UserIn {
    email: String,
    #[serde(default)]
    name: String,
    /// On the whole instance; none: only where they are a member.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// At least 12 characters.
    #[schema(format = Password)]
    password: String,
}

/// Create a user
#[utoipa::path(
    post, path = "/api/v1/user", operation_id = "v1.user.create", tag = "User",
    request_body = UserIn,
    responses(
        (status = 201, body = UserOut),
        (status = 409, body = ProblemDocument, description = "The address is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(wish): Body<UserIn>,
) -> Result<(StatusCode, Json<UserOut>)> {
    check_name(&wish.name)?;
    let now = state.store.clock().now();
    let user = User {
        id: UserId::new(now, state.store.entropy()),
        email: email(&wish.email)?,
        name: wish.name,
        role: wish.role,
        enabled: true,
        created_at: now,
        updated_at: now,
    };
    check_rank(&caller, &user)?;
    let hash = new_hash(&state, "password", &wish.password).await?;
    let created = state.store.insert_user(&user, &hash, &caller.actor()).await?;
    if created { Ok((StatusCode::CREATED, Json(user.into()))) } else { Err(email_taken()) }
}
