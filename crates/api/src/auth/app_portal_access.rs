use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use model::access::{Holder, Permission, Permissions, Portal, Session};
use model::app::App;
use model::{SessionId, name};
use serde::{Deserialize, Serialize};
use store::AppRef;
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::apps::ApplicationIn;
use crate::apps::create::new_app;
use crate::extract::{AppName, OptionalBody};
use crate::problem::{Code, Problem, ProblemDocument, Result};
use crate::wire::never_stored;

const HOUR_S: u64 = 60 * 60;
const MAX_EXPIRY_S: u64 = 7 * 24 * HOUR_S;
const MAX_FEATURE_FLAGS: usize = 100;

/// What the holder of a portal link may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub enum AppPortalCapability {
    /// See endpoints, messages and attempts.
    ViewBase,
    ViewEndpointSecret,
    ManageEndpointSecret,
    /// Kept for clients that send it.
    ManageTransformations,
    /// Send again, replay, send examples.
    CreateAttempts,
    ManageEndpoint,
    /// See API keys.
    ViewKeys,
    /// Create, rotate and revoke API keys.
    ManageKeys,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppPortalAccessIn {
    /// Made if the application does not exist.
    #[serde(default)]
    application: Option<ApplicationIn>,
    /// Everything but keys, if none are given.
    #[serde(default)]
    capabilities: Option<Vec<AppPortalCapability>>,
    /// Seconds, from an hour to seven days; seven days if not given.
    #[serde(default)]
    expiry: Option<u64>,
    #[serde(default)]
    read_only: Option<bool>,
    /// Your own name for the session, to end it by.
    #[serde(default)]
    session_id: Option<String>,
    /// Kept for clients that send it.
    #[serde(default)]
    feature_flags: Option<Vec<String>>,
}

#[derive(Serialize, ToSchema)]
pub struct AppPortalAccessOut {
    /// Send the browser there. The token is in the fragment, which browsers keep to themselves.
    pub url: String,
    pub token: String,
}

/// Open the portal of an application for somebody
#[utoipa::path(
    post, path = "/api/v1/auth/app-portal-access/{app}",
    operation_id = "v1.authentication.app-portal-access", tag = "Authentication",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = AppPortalAccessIn,
    responses(
        (status = 200, body = AppPortalAccessOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn app_portal_access(
    State(state): State<AppState>,
    caller: Caller,
    AppName(path): AppName,
    headers: HeaderMap,
    OptionalBody(wish): OptionalBody<AppPortalAccessIn>,
) -> Result<Response> {
    wish.check()?;
    let permissions = wish.permissions();
    let app = find_or_make(&state, &caller, path, wish.application).await?;
    let now = state.store.clock().now();
    let expires_at = now.plus_ms(wish.expiry.unwrap_or(MAX_EXPIRY_S).saturating_mul(1_000));
    let session = Session {
        id: SessionId::new(now, state.store.entropy()),
        holder: Holder::Portal(Portal { app_id: app.id, permissions, label: wish.session_id }),
        generation: 0,
        created_at: now,
        expires_at,
        revoked_at: None,
        address: None,
        user_agent: None,
    };
    state.store.begin_session(&session, &caller.actor()).await?;
    let keys = &state.access.sessions.keys;
    let token = keys.sign(session.id, app.id.as_str(), now, expires_at);
    let token = token.map_err(|_| Problem::new(Code::Internal, "The token was not signed."))?;
    let url = format!("{}/portal/{}#token={token}", base_url(&state, &headers), app.id);
    Ok(never_stored(Json(AppPortalAccessOut { url, token })))
}

impl AppPortalAccessIn {
    fn check(&self) -> Result<()> {
        if self.expiry.is_some_and(|expiry| !(HOUR_S..=MAX_EXPIRY_S).contains(&expiry)) {
            let why = format!("must be from {HOUR_S} to {MAX_EXPIRY_S} seconds");
            return Err(Problem::field("expiry", why));
        }
        if let Some(label) = &self.session_id {
            name::check_text(label).map_err(|error| Problem::field("sessionId", error))?;
        }
        if self.feature_flags.as_ref().is_some_and(|flags| flags.len() > MAX_FEATURE_FLAGS) {
            let why = format!("may have at most {MAX_FEATURE_FLAGS} entries");
            return Err(Problem::field("featureFlags", why));
        }
        Ok(())
    }

    fn permissions(&self) -> Permissions {
        if self.read_only == Some(true) {
            return AppPortalCapability::ViewBase.permissions();
        }
        let given = self.capabilities.as_deref().filter(|list| !list.is_empty());
        let list = given.unwrap_or(&AppPortalCapability::USUAL);
        let base = AppPortalCapability::ViewBase.permissions();
        list.iter().fold(base, |all, capability| all.and(capability.permissions()))
    }
}

impl AppPortalCapability {
    /// What published clients call all of them.
    const USUAL: [Self; 6] = [
        Self::ViewBase,
        Self::ViewEndpointSecret,
        Self::ManageEndpointSecret,
        Self::ManageTransformations,
        Self::CreateAttempts,
        Self::ManageEndpoint,
    ];

    const fn permissions(self) -> Permissions {
        use Permission as P;
        match self {
            Self::ViewBase => Permissions::of(&[
                P::AppsRead,
                P::EndpointsRead,
                P::EventTypesRead,
                P::MessagesRead,
                P::TasksRead,
            ]),
            Self::ViewEndpointSecret => Permissions::of(&[P::SecretsRead]),
            Self::ManageEndpointSecret => Permissions::of(&[P::SecretsRead, P::SecretsWrite]),
            Self::ManageTransformations => Permissions::NONE,
            Self::CreateAttempts => Permissions::of(&[P::DeliveriesWrite]),
            Self::ManageEndpoint => {
                Permissions::of(&[P::EndpointsWrite, P::SecretsRead, P::SecretsWrite])
            }
            Self::ViewKeys => Permissions::of(&[P::KeysRead, P::KeyspacesRead]),
            Self::ManageKeys => Permissions::of(&[P::KeysRead, P::KeysWrite, P::KeyspacesRead]),
        }
    }
}

async fn find_or_make(
    state: &AppState,
    caller: &Caller,
    path: String,
    wish: Option<ApplicationIn>,
) -> Result<App> {
    let found = state.store.app(&AppRef::new(&path)).await?;
    if let Some(app) = found {
        return Ok(app);
    }
    let mut wish = wish.ok_or_else(|| Problem::not_found("application"))?;
    caller.need_on_instance(Permission::AppsWrite)?;
    wish.uid = Some(path);
    let app = new_app(state, wish)?;
    if state.store.insert_app(&app, &caller.actor()).await? {
        return Ok(app);
    }
    Err(Problem::new(Code::Conflict, "Another application has this uid."))
}

fn base_url(state: &AppState, headers: &HeaderMap) -> String {
    if let Some(url) = &state.access.public_url {
        return url.clone();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or("localhost"))
}
