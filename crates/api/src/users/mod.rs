//! Users of Doorbell itself.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod patch;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::UserId;
use model::access::{Role, User, normal_email, password_fault};
use model::name;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::extract::path;
use crate::problem::{Code, Problem, Result};
use crate::wire::Moment;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub struct UserOut {
    #[schema(example = "user_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    pub id: String,
    pub email: String,
    pub name: String,
    /// On the whole instance: `owner`, `admin`, `developer`, `viewer`, `publisher`, or none.
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
    pub enabled: bool,
    pub created_at: Moment,
    pub updated_at: Moment,
}

impl From<User> for UserOut {
    fn from(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email,
            name: user.name,
            role: user.role,
            enabled: user.enabled,
            created_at: Moment(user.created_at),
            updated_at: Moment(user.updated_at),
        }
    }
}

/// The user that the path names.
#[derive(Debug)]
pub struct InUser(pub User);

#[derive(Debug, Deserialize)]
struct UserPath {
    user: String,
}

impl FromRequestParts<AppState> for InUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let UserPath { user } = path(parts, state).await?;
        let not_found = || Problem::not_found("user");
        let id: UserId = user.parse().map_err(|_| not_found())?;
        state.store.user(id).await?.map(Self).ok_or_else(not_found)
    }
}

fn email(text: &str) -> Result<String> {
    normal_email(text).ok_or_else(|| Problem::field("email", "is no address for mail"))
}

fn check_name(text: &str) -> Result<()> {
    name::check_text(text).map_err(|error| Problem::field("name", error))
}

fn email_taken() -> Problem {
    Problem::new(Code::Conflict, "Another user has this address.")
}

/// The hash of a new password that is good enough.
pub(crate) async fn new_hash(state: &AppState, field: &str, password: &str) -> Result<String> {
    if let Some(fault) = password_fault(password) {
        return Err(Problem::field(field, fault));
    }
    let hash = state.access.passwords.hash(password).await;
    hash.map_err(|_| {
        Problem::new(Code::Unavailable, "Too many passwords are being made.").retry_after_s(2)
    })
}

/// Nobody changes a user above themselves.
fn check_rank(caller: &Caller, user: &User) -> Result<()> {
    user.role.map_or(Ok(()), |role| caller.need_rank(role, None))
}
