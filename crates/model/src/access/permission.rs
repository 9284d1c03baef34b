//! What can be allowed, and sets of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// No permission has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no permission")]
pub struct NoSuchPermission(String);

macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// One thing that may be done. The text is the scope of a service token.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Permission { $($(#[doc = $doc])+ $name),+ }

        impl Permission {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// What it means, for people.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

permissions! {
    /// See applications.
    AppsRead = "apps:read";
    /// Create and change applications.
    AppsWrite = "apps:write";
    /// Delete applications with all that is in them.
    AppsDelete = "apps:delete";
    /// See endpoints, without their secrets and headers.
    EndpointsRead = "endpoints:read";
    /// Create, change, pause and delete endpoints.
    EndpointsWrite = "endpoints:write";
    /// See the signing secrets and the headers of endpoints.
    SecretsRead = "secrets:read";
    /// Rotate the signing secrets of endpoints.
    SecretsWrite = "secrets:write";
    /// See event types.
    EventTypesRead = "event-types:read";
    /// Create, change and delete event types.
    EventTypesWrite = "event-types:write";
    /// Publish messages.
    Publish = "messages:publish";
    /// See messages, deliveries and attempts.
    MessagesRead = "messages:read";
    /// Erase what messages and attempts contain.
    MessagesErase = "messages:erase";
    /// Send again, replay, recover, send examples, cancel.
    DeliveriesWrite = "deliveries:write";
    /// See maintenance windows.
    WindowsRead = "windows:read";
    /// Create, change, end and delete maintenance windows.
    WindowsWrite = "windows:write";
    /// See background tasks.
    TasksRead = "tasks:read";
    /// See keyspaces.
    KeyspacesRead = "keyspaces:read";
    /// Create, change and delete keyspaces.
    KeyspacesWrite = "keyspaces:write";
    /// See API keys and their usage.
    KeysRead = "keys:read";
    /// Create, change, rotate, revoke and delete API keys.
    KeysWrite = "keys:write";
    /// Ask whether API keys are good.
    KeysVerify = "keys:verify";
    /// Open the portal of an application for somebody, with all that it can do, and close it.
    PortalWrite = "portal:write";
    /// See who is a member of an application.
    MembersRead = "members:read";
    /// Add, change and remove members of an application.
    MembersWrite = "members:write";
    /// See the users of the instance.
    UsersRead = "users:read";
    /// Create, change and remove users of the instance.
    UsersWrite = "users:write";
    /// See the audit log.
    AuditRead = "audit:read";
}

impl Permission {
    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

impl FromStr for Permission {
    type Err = NoSuchPermission;

    fn from_str(text: &str) -> Result<Self, NoSuchPermission> {
        let found = Self::ALL.iter().find(|permission| permission.as_str() == text);
        found.copied().ok_or_else(|| NoSuchPermission(text.to_owned()))
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Permissions {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self::of(Permission::ALL);

    #[must_use]
    pub const fn of(list: &[Permission]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < list.len() {
            bits |= list[at].bit();
            at += 1;
        }
        Self(bits)
    }

    /// What one scope of a service token allows: a permission, `noun:*`, or `*`.
    #[must_use]
    pub fn of_scope(scope: &str) -> Self {
        let covered = |permission: &&Permission| match scope.strip_suffix('*') {
            Some(start) => permission.as_str().starts_with(start),
            None => permission.as_str() == scope,
        };
        Permission::ALL.iter().filter(covered).fold(Self::NONE, |all, one| all.with(*one))
    }

    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        Self(self.0 | permission.bit())
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.has(*permission))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::as_str)).finish()
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Permission::as_str))
    }
}

impl<'de> Deserialize<'de> for Permissions {
    /// A name that is no longer known allows nothing.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        let known = names.iter().filter_map(|name| name.parse().ok());
        Ok(known.fold(Self::NONE, Self::with))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_has_a_name_and_a_bit_of_its_own() {
        assert!(Permission::ALL.len() <= 64);
        for (at, permission) in Permission::ALL.iter().enumerate() {
            assert_eq!(permission.as_str().parse(), Ok(*permission));
            assert!(
                Permission::ALL[..at].iter().all(|other| other.as_str() != permission.as_str())
            );
            assert!(!Permissions::of(&Permission::ALL[..at]).has(*permission));
        }
        assert_eq!(Permissions::ALL.iter().count(), Permission::ALL.len());
    }

    #[test]
    fn a_scope_is_one_permission_or_several() {
        let keys =
            Permissions::of(&[Permission::KeysRead, Permission::KeysWrite, Permission::KeysVerify]);
        assert_eq!(Permissions::of_scope("keys:*"), keys);
        assert_eq!(Permissions::of_scope("*"), Permissions::ALL);
        assert_eq!(Permissions::of_scope("audit:read"), Permissions::of(&[Permission::AuditRead]));
        for none in ["", "keys", "KEYS:read", "keys:read:more", "nothing:*"] {
            assert_eq!(Permissions::of_scope(none), Permissions::NONE, "{none}");
        }
    }

    #[test]
    fn sets_survive_their_text() {
        let set = Permissions::of(&[Permission::AuditRead, Permission::AppsRead]);
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"["apps:read","audit:read"]"#);
        assert_eq!(serde_json::from_str::<Permissions>(&text).unwrap(), set);
        assert_eq!(serde_json::from_str::<Permissions>(r#"["gone"]"#).unwrap(), Permissions::NONE);
        assert!(Permissions::ALL.covers(set) && !set.covers(Permissions::ALL));
    }
}
