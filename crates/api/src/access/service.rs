//! Service tokens: keys of the built-in keyspace, which every instance has.

use std::collections::BTreeMap;

use keys::{Keys, KeysError, KeyspaceFields, Minted, NewKey};
use model::AppId;
use model::access::{Permission, Permissions, Role};
use model::audit::Actor;
use model::key::SERVICE_KEYSPACE;

/// The one environment of service tokens.
const ENVIRONMENT: &str = "live";
const PREFIX: &str = "dbl";

/// What a new service token may do, and where.
#[derive(Clone, Debug, Default)]
pub struct NewServiceToken {
    pub name: String,
    /// None: the whole instance.
    pub app: Option<AppId>,
    pub roles: Vec<Role>,
    pub permissions: Permissions,
}

impl NewServiceToken {
    /// A token with one role on the whole instance.
    #[must_use]
    pub fn with_role(name: &str, role: Role) -> Self {
        Self { name: name.to_owned(), roles: vec![role], ..Self::default() }
    }

    fn key(self) -> NewKey {
        NewKey {
            keyspace: SERVICE_KEYSPACE.to_owned(),
            app: self.app,
            name: self.name,
            environment: Some(ENVIRONMENT.to_owned()),
            scopes: texts(self.permissions),
            roles: self.roles.into_iter().map(|role| role.as_str().to_owned()).collect(),
            ..NewKey::default()
        }
    }
}

/// Makes the built-in keyspace, or brings its catalogue up to date with this binary.
///
/// # Errors
/// When the database fails.
pub async fn prepare(keys: &Keys, by: &Actor) -> Result<(), KeysError> {
    let wanted = (permissions(), roles());
    if let Some(found) = keys.store().keyspace(SERVICE_KEYSPACE).await? {
        let found = found.value;
        if (&found.permissions, &found.roles) == (&wanted.0, &wanted.1) {
            return Ok(());
        }
        let change = |keyspace: &mut model::key::Keyspace| {
            keyspace.permissions.clone_from(&wanted.0);
            keyspace.roles.clone_from(&wanted.1);
        };
        return keys.update_keyspace(SERVICE_KEYSPACE, change, by).await.map(drop);
    }
    let fields = KeyspaceFields {
        uid: Some(SERVICE_KEYSPACE.to_owned()),
        name: "Doorbell itself".to_owned(),
        prefix: PREFIX.to_owned(),
        environments: vec![ENVIRONMENT.to_owned()],
        permissions: wanted.0,
        roles: wanted.1,
        ..KeyspaceFields::default()
    };
    match keys.create_keyspace(fields, by).await {
        // Another node was faster.
        Ok(_) | Err(KeysError::Taken(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A new service token; its text is shown once.
///
/// # Errors
/// When the database fails.
pub async fn mint(keys: &Keys, new: NewServiceToken, by: &Actor) -> Result<Minted, KeysError> {
    keys.create_key(new.key(), by).await
}

/// A service token with a text that somebody chose. False when this text is one already.
///
/// # Errors
/// When the text is too short, or the database fails.
pub async fn adopt(
    keys: &Keys,
    new: NewServiceToken,
    token: &str,
    by: &Actor,
) -> Result<bool, KeysError> {
    match keys.create_key_with_token(new.key(), token, by).await {
        Ok(_) => Ok(true),
        Err(KeysError::Taken(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn permissions() -> BTreeMap<String, String> {
    let all = Permission::ALL.iter();
    all.map(|one| (one.as_str().to_owned(), one.description().to_owned())).collect()
}

fn roles() -> BTreeMap<String, Vec<String>> {
    let all = Role::ALL.into_iter();
    all.map(|role| (role.as_str().to_owned(), texts(role.permissions()))).collect()
}

fn texts(permissions: Permissions) -> Vec<String> {
    permissions.iter().map(|permission| permission.as_str().to_owned()).collect()
}
