//! The caller of a request, as handlers see them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::access::{Holder, Permission, Role};
use model::audit::{Actor, ActorKind};
use model::{AppId, SessionId};
use store::SessionFacts;

use super::grants::{AppScope, Grants, Who};
use crate::AppState;
use crate::problem::{Code, Problem, Result};
use crate::trace::RequestId;

/// Somebody with a valid token, admitted to this route. Cheap to clone.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    who: Who,
    grants: Grants,
    at: Whereabouts,
    app: Option<AppId>,
    scope: AppScope,
}

/// Where a request came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whereabouts {
    pub address: Option<IpAddr>,
    pub request_id: Option<RequestId>,
}

/// What [`Caller::admitted`] makes a caller of.
pub(crate) struct Admitted {
    pub who: Who,
    pub grants: Grants,
    pub at: Whereabouts,
    pub app: Option<AppId>,
    pub scope: AppScope,
}

impl Caller {
    pub(crate) fn admitted(admitted: Admitted) -> Self {
        let Admitted { who, grants, at, app, scope } = admitted;
        Self(Arc::new(Inner { who, grants, at, app, scope }))
    }

    /// Who acts, for the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let (kind, id, name) = match &self.0.who {
            Who::Service(entry) => {
                (ActorKind::Token, entry.key.id.to_string(), entry.key.name.clone())
            }
            Who::Session(facts) => session_actor(facts),
        };
        Actor {
            kind,
            id: Some(id),
            name,
            address: self.0.at.address,
            request_id: self.0.at.request_id.as_ref().and_then(RequestId::text),
        }
    }

    /// The apps that this request may touch.
    #[must_use]
    pub fn app_scope(&self) -> &AppScope {
        &self.0.scope
    }

    /// For what belongs to one app or to the instance: the app, none for the instance.
    ///
    /// # Errors
    /// When the caller is of several apps and the path names none.
    pub fn only_app(&self) -> Result<Option<AppId>> {
        match &self.0.scope {
            AppScope::Instance => Ok(None),
            AppScope::Apps(apps) => match apps[..] {
                [app] => Ok(Some(app)),
                _ => Err(Problem::new(Code::Forbidden, "Use a token of one application.")),
            },
        }
    }

    /// The app that a list is narrowed to: the one that is wished for by its id, or the only one.
    ///
    /// # Errors
    /// When the wish is out of scope, or the caller is of several apps and names none.
    pub fn app_filter(&self, wish: Option<&str>) -> Result<Option<AppId>> {
        let not_found = || Problem::not_found("application");
        match (&self.0.scope, wish) {
            (scope, Some(wish)) => {
                let app = wish.parse().map_err(|_| not_found())?;
                if scope.permits(app) { Ok(Some(app)) } else { Err(not_found()) }
            }
            (AppScope::Instance, None) => Ok(None),
            (AppScope::Apps(apps), None) => match apps[..] {
                [app] => Ok(Some(app)),
                _ => Err(Problem::at(&["query", "app"], "name one of your applications")),
            },
        }
    }

    /// The app that the path names, when it had to be looked up to admit the caller.
    #[must_use]
    pub(crate) fn app(&self) -> Option<AppId> {
        self.0.app
    }

    /// Asks for a further permission on the whole instance.
    ///
    /// # Errors
    /// When the caller does not have it.
    pub fn need_on_instance(&self, permission: Permission) -> Result<()> {
        if self.0.grants.instance.has(permission) {
            return Ok(());
        }
        Err(Problem::new(
            Code::Forbidden,
            format!("This needs the permission {}.", permission.as_str()),
        ))
    }

    /// Asks for a further permission in an app that the path does not name.
    ///
    /// # Errors
    /// When the caller does not have it; of an app that is none of theirs they learn nothing.
    pub fn need_in_app(&self, app: AppId, permission: Permission) -> Result<()> {
        let own = self.0.grants.in_app(app);
        if own.has(permission) {
            return Ok(());
        }
        if own.is_empty() {
            return Err(Problem::not_found("application"));
        }
        Err(Problem::new(
            Code::Forbidden,
            format!("This needs the permission {}.", permission.as_str()),
        ))
    }

    /// Nobody gives away, takes away or changes what is above themselves.
    ///
    /// # Errors
    /// When the role is.
    pub fn need_rank(&self, role: Role, app: Option<AppId>) -> Result<()> {
        let own = match app {
            Some(app) => self.0.grants.in_app(app),
            None => self.0.grants.instance,
        };
        if own.covers(role.permissions()) {
            return Ok(());
        }
        let detail = format!("The role {} is above yours.", role.as_str());
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// A name for this caller among all callers, that stays when their token changes.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.who.id()
    }

    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.0.at.address
    }

    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.facts().map(|facts| facts.session.id)
    }

    pub(crate) fn facts(&self) -> Option<&SessionFacts> {
        match &self.0.who {
            Who::Session(facts) => Some(facts),
            Who::Service(_) => None,
        }
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.0.grants
    }
}

fn session_actor(facts: &SessionFacts) -> (ActorKind, String, String) {
    match (&facts.user, &facts.session.holder) {
        (Some(user), _) => (ActorKind::User, user.id.to_string(), user.email.clone()),
        (None, Holder::Portal(portal)) => {
            let name = portal.label.clone().unwrap_or_default();
            (ActorKind::Portal, facts.session.id.to_string(), name)
        }
        (None, Holder::User(user)) => (ActorKind::User, user.to_string(), String::new()),
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    /// As `admit` left it.
    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(Code::Unauthorized, "A valid token is needed."))
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.id()).finish()
    }
}
