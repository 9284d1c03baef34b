//! The one door of the API.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::AppId;
use model::access::Permission;

use super::address::Asker;
use super::caller::{Admitted, Caller, Whereabouts};
use super::grants::{AppScope, Grants};
use super::table::Rule;
use super::{address, identify};
use crate::AppState;
use crate::problem::{Code, Problem, Result};
use crate::trace::RequestId;

/// Lets the request through to its handler with its [`Caller`], or answers why not.
pub async fn admit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match enter(&state, &mut parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Lets a proxy through that asks about the key of its client, and tells the handler who asks.
/// Anybody else may ask for themselves, within the limits of an address.
pub async fn admit_proxy(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let access = &state.access;
    let asker = Asker::of(request.extensions(), &access.trusted_proxies);
    request.extensions_mut().insert(asker);
    if asker.is_trusted {
        return next.run(request).await;
    }
    if let Err(refusal) = access.guards.request(None, asker.address, None).await {
        return refusal.into_response();
    }
    let response = next.run(request).await;
    if response.status() != StatusCode::UNAUTHORIZED {
        return response;
    }
    match access.guards.refusal(asker.address).await {
        Ok(()) => response,
        Err(too_many) => too_many.into_response(),
    }
}

/// What a caller may touch here.
struct Admission {
    app: Option<AppId>,
    scope: AppScope,
}

async fn enter(state: &AppState, parts: &mut Parts) -> Result<()> {
    let access = &state.access;
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let rule = access.table.rule(&parts.method, path)?;
    let address = address::of(parts, &access.trusted_proxies);
    if rule == Rule::Open {
        access.guards.request(None, address, None).await?;
        parts.extensions.insert(ClientAddress(address));
        return Ok(());
    }
    let who = match identify::who(state, &parts.headers, address).await {
        Ok(who) => who,
        Err(refusal) => return Err(counted(state, address, refusal).await),
    };
    let app = match rule {
        Rule::In(_) => app_in_path(state, parts).await?,
        _ => None,
    };
    let published_to = app.as_deref().filter(|_| rule == Rule::In(Permission::Publish));
    access.guards.request(Some(&who), address, published_to).await?;
    let grants = who.grants();
    let admission = match authorize(state, app.as_deref(), rule, &grants).await {
        Ok(admission) => admission,
        Err(refusal) => return Err(counted(state, address, refusal).await),
    };
    let at = Whereabouts { address, request_id: RequestId::of(parts) };
    let Admission { app, scope } = admission;
    parts.extensions.insert(Caller::admitted(Admitted { who, grants, at, app, scope }));
    Ok(())
}

/// A refusal is counted for its address, and too many of them are answered with 429 instead. A
/// good token is admitted all the same: nobody is locked out by a neighbour behind one address.
async fn counted(state: &AppState, address: Option<IpAddr>, refusal: Problem) -> Problem {
    if !matches!(refusal.code(), Code::Unauthorized | Code::Forbidden) {
        return refusal;
    }
    state.access.guards.refusal(address).await.err().unwrap_or(refusal)
}

/// The address of a request that needs no caller.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub Option<IpAddr>);

async fn authorize(
    state: &AppState,
    app: Option<&str>,
    rule: Rule,
    grants: &Grants,
) -> Result<Admission> {
    match rule {
        Rule::Open => Err(denied_by_default()),
        Rule::Anybody => Ok(Admission { app: None, scope: AppScope::Apps(Vec::new()) }),
        Rule::On(permission) if grants.instance.has(permission) => Ok(of_instance()),
        Rule::On(permission) => Err(lacks(permission)),
        Rule::Within(permission) => {
            let scope = grants.scope(permission).ok_or_else(|| lacks(permission))?;
            Ok(Admission { app: None, scope })
        }
        // The handler looks the app up, or leaves that to the store.
        Rule::In(permission) if grants.instance.has(permission) => Ok(of_instance()),
        Rule::In(permission) => {
            let name = app.ok_or_else(denied_by_default)?;
            let app = state.access.names.resolve(state, name).await?;
            match app {
                Some(app) if grants.in_app(app).has(permission) => {
                    Ok(Admission { app: Some(app), scope: AppScope::Apps(vec![app]) })
                }
                Some(app) if !grants.in_app(app).is_empty() => Err(lacks(permission)),
                _ if grants.is_of_instance() => Err(lacks(permission)),
                _ => Err(Problem::not_found("application")),
            }
        }
    }
}

const fn of_instance() -> Admission {
    Admission { app: None, scope: AppScope::Instance }
}

/// What the path calls its app.
async fn app_in_path(state: &AppState, parts: &mut Parts) -> Result<Option<String>> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params =
        params.map_err(|_| Problem::new(Code::InvalidRequest, "The path is not understood."))?;
    Ok(params.iter().find(|(name, _)| *name == "app").map(|(_, app)| app.to_owned()))
}

fn lacks(permission: Permission) -> Problem {
    let permission = permission.as_str();
    Problem::new(Code::Forbidden, format!("This needs the permission {permission}."))
}

/// A route that the table does not describe well enough is open to nobody.
fn denied_by_default() -> Problem {
    Problem::new(Code::Forbidden, "Nobody may call this.")
}
