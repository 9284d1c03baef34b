//! Members: users and their roles in one application.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod patch;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::UserId;
use model::access::{Member, Role};
use model::app::App;
use serde::{Deserialize, Serialize};
use store::{MemberPut, NamedMember};
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::extract::{InApp, path};
use crate::problem::{Code, Problem, Result};
use crate::wire::Moment;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Member)]
pub struct MemberOut {
    pub user_id: String,
    pub email: String,
    pub name: String,
    /// `owner`, `admin`, `developer`, `viewer` or `publisher`.
    #[schema(value_type = String)]
    pub role: Role,
    pub created_at: Moment,
    pub updated_at: Moment,
}

impl From<NamedMember> for MemberOut {
    fn from(named: NamedMember) -> Self {
        let NamedMember { member, email, name } = named;
        Self {
            user_id: member.user_id.to_string(),
            email,
            name,
            role: member.role,
            created_at: Moment(member.created_at),
            updated_at: Moment(member.updated_at),
        }
    }
}

/// The member that the path names, in the app that the path names.
#[derive(Debug)]
pub struct InMember(pub App, pub NamedMember);

#[derive(Debug, Deserialize)]
struct UserPath {
    user: String,
}

impl FromRequestParts<AppState> for InMember {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let UserPath { user } = path(parts, state).await?;
        let not_found = || Problem::not_found("member");
        let id: UserId = user.parse().map_err(|_| not_found())?;
        let member = state.store.member_in_app(app.id, id).await?.ok_or_else(not_found)?;
        let user = state.store.user(id).await?.ok_or_else(not_found)?;
        Ok(Self(app, NamedMember::new(member, user)))
    }
}

/// Writes a member down, if the caller may give this role.
async fn put(state: &AppState, caller: &Caller, member: &Member) -> Result<MemberPut> {
    caller.need_rank(member.role, Some(member.app_id))?;
    let put = state.store.put_member(member, &caller.actor()).await?;
    state.access.sessions.forget_all();
    match put {
        MemberPut::NoSuchUser => Err(Problem::field("userId", "there is no such user")),
        MemberPut::TooMany => {
            Err(Problem::new(Code::Conflict, "The user is a member of too many applications."))
        }
        put => Ok(put),
    }
}
