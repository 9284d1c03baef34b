//! Roles: what each allows, in full view.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::permission::Permission::{
    AppsDelete, AppsRead, DeliveriesWrite, EndpointsRead, EndpointsWrite, EventTypesRead,
    EventTypesWrite, KeysRead, KeysVerify, KeysWrite, KeyspacesRead, MembersRead, MessagesErase,
    MessagesRead, Publish, SecretsRead, SecretsWrite, TasksRead, UsersWrite, WindowsRead,
    WindowsWrite,
};
use super::permission::Permissions;

/// A named set of permissions, on the instance or in one app. The order is the rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Publishes, and nothing else: what a product's backend needs.
    Publisher,
    /// Sees everything but secrets, people and the audit log.
    Viewer,
    /// Works with endpoints, event types, messages and keys.
    Developer,
    /// Everything but deleting applications and managing users.
    Admin,
    /// Everything.
    Owner,
}

const VIEWER: Permissions = Permissions::of(&[
    AppsRead,
    EndpointsRead,
    EventTypesRead,
    MessagesRead,
    TasksRead,
    WindowsRead,
    KeyspacesRead,
    KeysRead,
    MembersRead,
]);
const DEVELOPER: Permissions = VIEWER.and(Permissions::of(&[
    EndpointsWrite,
    SecretsRead,
    SecretsWrite,
    EventTypesWrite,
    Publish,
    MessagesErase,
    DeliveriesWrite,
    WindowsWrite,
    KeysWrite,
    KeysVerify,
]));
const ADMIN: Permissions = Permissions::ALL.without(Permissions::of(&[AppsDelete, UsersWrite]));

impl Role {
    pub const ALL: [Self; 5] =
        [Self::Owner, Self::Admin, Self::Developer, Self::Viewer, Self::Publisher];

    #[must_use]
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::Owner => Permissions::ALL,
            Self::Admin => ADMIN,
            Self::Developer => DEVELOPER,
            Self::Viewer => VIEWER,
            Self::Publisher => Permissions::of(&[Publish]),
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
            Self::Publisher => "publisher",
        }
    }
}

/// No role has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: take owner, admin, developer, viewer or publisher")]
pub struct NoSuchRole(String);

impl FromStr for Role {
    type Err = NoSuchRole;

    fn from_str(text: &str) -> Result<Self, NoSuchRole> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| NoSuchRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Permission::{AuditRead, UsersRead};
    use super::*;

    #[test]
    fn each_rank_but_the_publisher_has_all_of_the_rank_below() {
        let [owner, admin, developer, viewer, publisher] = Role::ALL.map(Role::permissions);
        assert!(owner.covers(admin) && admin.covers(developer) && developer.covers(viewer));
        assert!(!viewer.covers(publisher) && developer.covers(publisher));
        assert!(!admin.covers(owner) && !developer.covers(admin) && !viewer.covers(developer));
        assert!(!viewer.has(SecretsRead) && !developer.has(AuditRead) && admin.has(UsersRead));
        assert!(Role::Owner > Role::Admin && Role::Viewer > Role::Publisher);
    }

    #[test]
    fn names_are_read_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert!("root".parse::<Role>().is_err());
    }
}
