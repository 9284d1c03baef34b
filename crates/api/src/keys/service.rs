//! Keys of the built-in keyspace are tokens of Doorbell itself: nobody makes, renews or changes
//! one that may do more than they may themselves.

use model::AppId;
use model::access::{Permissions, Role};
use model::key::{Key, SERVICE_KEYSPACE};

use crate::AppState;
use crate::access::Caller;
use crate::problem::{Code, Problem, Result};

/// What a key may do, or shall.
pub(super) struct Handed<'a> {
    pub app: AppId,
    /// Id or uid.
    pub keyspace: &'a str,
    pub scopes: &'a [String],
    pub roles: &'a [String],
}

impl<'a> Handed<'a> {
    pub fn of(app: AppId, key: &'a Key) -> Self {
        Self { app, keyspace: key.keyspace_id.as_str(), scopes: &key.scopes, roles: &key.roles }
    }
}

/// Keys of every other keyspace are the product's own affair.
pub(super) async fn check(state: &AppState, caller: &Caller, handed: Handed<'_>) -> Result<()> {
    let Some(keyspace) = state.store.keyspace(handed.keyspace).await? else { return Ok(()) };
    if keyspace.value.uid.as_deref() != Some(SERVICE_KEYSPACE) {
        return Ok(());
    }
    let roles = handed.roles.iter().filter_map(|role| role.parse::<Role>().ok());
    let of_roles = roles.fold(Permissions::NONE, |all, role| all.and(role.permissions()));
    let scopes = handed.scopes.iter().map(|scope| Permissions::of_scope(scope));
    let permissions = scopes.fold(of_roles, Permissions::and);
    if caller.grants().in_app(handed.app).covers(permissions) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "This token would be allowed more than you are."))
}
