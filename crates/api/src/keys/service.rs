//! Keys of the built-in keyspace are tokens of Doorbell itself: nobody makes, renews or changes
//! one that may do more than they may themselves.

use model::AppId;
use model::access::{Permissions, Role};
use model::key::{Key, Keyspace, SERVICE_KEYSPACE};

use crate::AppState;
use crate::access::{Caller, of_token};
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
    if !is_ours(&keyspace.value) {
        return Ok(());
    }
    check_covers(caller, handed.app, of_token(handed.roles, handed.scopes))
}

/// An owner's switch and limits hold for every token of it, whatever that may do.
pub(crate) fn check_owner(caller: &Caller, keyspace: &Keyspace, app: AppId) -> Result<()> {
    if !is_ours(keyspace) {
        return Ok(());
    }
    check_covers(caller, app, Role::Owner.permissions())
}

fn is_ours(keyspace: &Keyspace) -> bool {
    keyspace.uid.as_deref() == Some(SERVICE_KEYSPACE)
}

fn check_covers(caller: &Caller, app: AppId, permissions: Permissions) -> Result<()> {
    // What is made there would outlast the portal.
    if caller.facts().is_some_and(|facts| facts.user.is_none()) {
        return Err(Problem::new(Code::Forbidden, "A portal hands out no tokens of Doorbell."));
    }
    if caller.grants().in_app(app).covers(permissions) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "This token would be allowed more than you are."))
}
