use axum::Json;
use axum::extract::State;
use model::access::Role;
use serde::Deserialize;
use store::UserChange;
use utoipa::ToSchema;

use super::{InUser, UserOut, check_name, check_rank, email, email_taken, new_hash};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::patch::{self, Field};
use crate::problem::{Problem, ProblemDocument, Result};

/// What shall change; an absent field stays.
#[derive(Deserialize, ToSchema)]
pub struct UserPatch {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    name: Option<String>,
    /// `null`: only where they are a member.
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    role: Field<Role>,
    /// False ends every session, and no other can begin.
    #[serde(default)]
    enabled: Option<bool>,
    /// Ends every session.
    #[serde(default)]
    #[schema(format = Password)]
    password: Option<String>,
}

/// Change a user
#[utoipa::path(
    patch, path = "/api/v1/user/{user}", operation_id = "v1.user.patch", tag = "User",
    params(("user" = String, Path, description = "The user's id")),
    request_body = UserPatch,
    responses(
        (status = 200, body = UserOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "The address is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch(
    State(state): State<AppState>,
    caller: Caller,
    InUser(mut user): InUser,
    Body(wish): Body<UserPatch>,
) -> Result<Json<UserOut>> {
    check_rank(&caller, &user)?;
    if let Some(text) = wish.email {
        user.email = email(&text)?;
    }
    user.name = wish.name.unwrap_or(user.name);
    check_name(&user.name)?;
    user.role = wish.role.unwrap_or(user.role);
    check_rank(&caller, &user)?;
    user.enabled = wish.enabled.unwrap_or(user.enabled);
    user.updated_at = state.store.clock().now();
    let hash = match &wish.password {
        Some(password) => Some(new_hash(&state, "password", password).await?),
        None => None,
    };
    let by = caller.actor();
    let changed = state.store.update_user(&user, &by).await?;
    if let (UserChange::Done, Some(hash)) = (changed, hash) {
        state.store.set_password(user.id, &hash, &by).await?;
    }
    state.access.sessions.forget_all();
    match changed {
        UserChange::Done => Ok(Json(user.into())),
        UserChange::NotFound => Err(Problem::not_found("user")),
        UserChange::EmailTaken => Err(email_taken()),
    }
}
