use axum::Json;
use model::access::{Holder, Permissions, Role};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::users::UserOut;

/// The one environment of an instance, in the words of published clients.
const ENVIRONMENT: &str = "org_doorbell";

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhoamiOut {
    pub env_id: &'static str,
    /// The one application that the token is limited to.
    pub app_id: Option<String>,
    pub session_id: Option<String>,
    /// `GlobalAuthToken` for a service token, `SvixJwt` for a session.
    pub permission_source: &'static str,
    /// `token`, `user` or `portal`.
    pub kind: &'static str,
    /// The id of the key, the user, or the portal's session.
    pub id: String,
    pub name: String,
    pub user: Option<UserOut>,
    /// On the whole instance.
    #[schema(value_type = Vec<String>)]
    pub permissions: Permissions,
    /// In applications.
    pub apps: Vec<AppAccessOut>,
}

/// What the caller may in one application, besides what they may everywhere.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AppAccess)]
pub struct AppAccessOut {
    pub app_id: String,
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
    #[schema(value_type = Vec<String>)]
    pub permissions: Permissions,
}

/// Tell whose token this is and what it may do
#[utoipa::path(
    get, path = "/api/v1/auth/whoami", operation_id = "v1.authentication.whoami",
    tag = "Authentication", responses((status = 200, body = WhoamiOut)),
)]
pub async fn whoami(caller: Caller) -> Json<WhoamiOut> {
    let actor = caller.actor();
    let facts = caller.facts();
    let kind = match facts.map(|facts| &facts.session.holder) {
        None => "token",
        Some(Holder::User(_)) => "user",
        Some(Holder::Portal(_)) => "portal",
    };
    let access = caller.grants().apps();
    let apps = access.into_iter().map(|(app, role, permissions)| AppAccessOut {
        app_id: app.to_string(),
        role,
        permissions,
    });
    let apps: Vec<AppAccessOut> = apps.collect();
    let app_id = match &apps[..] {
        [one] if kind != "user" => Some(one.app_id.clone()),
        _ => None,
    };
    Json(WhoamiOut {
        env_id: ENVIRONMENT,
        app_id,
        session_id: caller.session().map(|id| id.to_string()),
        permission_source: if facts.is_some() { "SvixJwt" } else { "GlobalAuthToken" },
        kind,
        id: caller.id().to_owned(),
        name: actor.name,
        user: facts.and_then(|facts| facts.user.clone()).map(Into::into),
        permissions: caller.grants().instance,
        apps,
    })
}
