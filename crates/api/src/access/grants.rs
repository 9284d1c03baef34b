//! What a caller may: on the instance, and in apps.

use std::sync::Arc;

use keys::Entry;
use keys::limiter::SubjectKey;
use model::AppId;
use model::access::{Holder, Permission, Permissions, Role};
use store::SessionFacts;

/// Whose token it is.
#[derive(Clone)]
pub(crate) enum Who {
    /// A service token: a key of the built-in keyspace.
    Service(Arc<Entry>),
    /// A user, or somebody in a portal.
    Session(Arc<SessionFacts>),
}

/// What somebody may do: on the instance, and in apps.
#[derive(Clone)]
pub(crate) struct Grants {
    pub instance: Permissions,
    apps: Apps,
}

#[derive(Clone)]
enum Apps {
    None,
    One(AppId, Permissions),
    /// Of the user's memberships.
    Of(Arc<SessionFacts>),
}

/// The apps that an admitted request may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppScope {
    /// All of them, and what belongs to none.
    Instance,
    /// These, in the order of their ids.
    Apps(Vec<AppId>),
}

impl AppScope {
    #[must_use]
    pub fn permits(&self, app: AppId) -> bool {
        match self {
            Self::Instance => true,
            Self::Apps(apps) => apps.contains(&app),
        }
    }

    /// As [`AppScope::permits`], for what may belong to no app.
    #[must_use]
    pub fn permits_any(&self, app: Option<AppId>) -> bool {
        app.map_or(*self == Self::Instance, |app| self.permits(app))
    }
}

impl Who {
    /// What they may, wherever.
    pub fn grants(&self) -> Grants {
        match self {
            Self::Service(entry) => service_grants(entry),
            Self::Session(facts) => session_grants(facts),
        }
    }

    /// Whom their requests are counted for.
    pub fn subject(&self) -> SubjectKey {
        match self {
            Self::Service(entry) => SubjectKey::Key(entry.key.id),
            Self::Session(_) => SubjectKey::named(&["caller", self.id()]),
        }
    }

    /// A name for this caller among all callers, that stays when their token changes.
    pub fn id(&self) -> &str {
        match self {
            Self::Service(entry) => entry.key.id.as_str(),
            Self::Session(facts) => match &facts.user {
                Some(user) => user.id.as_str(),
                None => facts.session.id.as_str(),
            },
        }
    }
}

/// What a service token with these roles and scopes may do; unknown ones give nothing.
pub(crate) fn of_token(roles: &[String], scopes: &[String]) -> Permissions {
    let roles = roles.iter().filter_map(|role| role.parse::<Role>().ok());
    let of_roles = roles.fold(Permissions::NONE, |all, role| all.and(role.permissions()));
    let scopes = scopes.iter().map(|scope| Permissions::of_scope(scope));
    scopes.fold(of_roles, Permissions::and)
}

fn service_grants(entry: &Entry) -> Grants {
    let key = &entry.key;
    let permissions = of_token(&key.roles, &key.scopes);
    match key.app_id {
        Some(app) => Grants { instance: Permissions::NONE, apps: Apps::One(app, permissions) },
        None => Grants { instance: permissions, apps: Apps::None },
    }
}

fn session_grants(facts: &Arc<SessionFacts>) -> Grants {
    match (&facts.session.holder, &facts.user) {
        (Holder::Portal(portal), _) => Grants {
            instance: Permissions::NONE,
            apps: Apps::One(portal.app_id, portal.permissions),
        },
        (Holder::User(_), Some(user)) => Grants {
            instance: user.role.map_or(Permissions::NONE, Role::permissions),
            apps: if facts.memberships.is_empty() { Apps::None } else { Apps::Of(facts.clone()) },
        },
        (Holder::User(_), None) => Grants { instance: Permissions::NONE, apps: Apps::None },
    }
}

impl Grants {
    /// What they may in this app.
    pub fn in_app(&self, app: AppId) -> Permissions {
        let own = match &self.apps {
            Apps::None => Permissions::NONE,
            Apps::One(one, permissions) if *one == app => *permissions,
            Apps::One(..) => Permissions::NONE,
            Apps::Of(facts) => facts
                .memberships
                .iter()
                .filter(|(of, _)| *of == app)
                .fold(Permissions::NONE, |all, (_, role)| all.and(role.permissions())),
        };
        self.instance.and(own)
    }

    /// Where they may do this; none: nowhere.
    pub fn scope(&self, permission: Permission) -> Option<AppScope> {
        if self.instance.has(permission) {
            return Some(AppScope::Instance);
        }
        let mut apps = match &self.apps {
            Apps::None => Vec::new(),
            Apps::One(app, permissions) if permissions.has(permission) => vec![*app],
            Apps::One(..) => Vec::new(),
            Apps::Of(facts) => {
                let may = facts.memberships.iter();
                let may = may.filter(|(_, role)| role.permissions().has(permission));
                may.map(|(app, _)| *app).collect()
            }
        };
        apps.sort_unstable();
        (!apps.is_empty()).then_some(AppScope::Apps(apps))
    }

    /// Apps in which they may more than everywhere, with the role if it is one.
    pub fn apps(&self) -> Vec<(AppId, Option<Role>, Permissions)> {
        match &self.apps {
            Apps::None => Vec::new(),
            Apps::One(app, permissions) => vec![(*app, None, *permissions)],
            Apps::Of(facts) => {
                let memberships = facts.memberships.iter();
                memberships.map(|(app, role)| (*app, Some(*role), role.permissions())).collect()
            }
        }
    }

    /// Whether they have something to do with the instance as a whole.
    pub fn is_of_instance(&self) -> bool {
        !self.instance.is_empty()
    }
}
