//! Access to Doorbell itself: who there is, and what each may do.
//!
//! A caller is a [`User`] with a [`Session`], a service token (a key of the built-in keyspace),
//! or somebody in a product's portal. Each has [`Permissions`] on the whole instance, in one app,
//! or in some apps. A [`Role`] is a named set of permissions; nobody gives away a role above
//! their own. Which permission a request needs stands in one table beside the routes.

mod permission;
mod role;

use serde::{Deserialize, Serialize};

pub use self::permission::{Permission, Permissions};
pub use self::role::Role;
use crate::{AppId, SessionId, Timestamp, UserId};

/// A refresh token is good for so long after its session was last refreshed.
pub const SESSION_IDLE_MS: u64 = 14 * 24 * 60 * 60 * 1_000;
/// No session lives longer, however often it is refreshed.
pub const SESSION_MAX_MS: u64 = 90 * 24 * 60 * 60 * 1_000;
/// What a signed token of a session is good for before it must be refreshed.
pub const SESSION_TOKEN_MS: u64 = 15 * 60 * 1_000;
/// Sessions of one user at the most; the oldest goes when another begins.
pub const MAX_SESSIONS_PER_USER: u32 = 50;
/// Apps that one user may be a member of.
pub const MAX_MEMBERSHIPS: u32 = 1_000;
pub const MIN_PASSWORD_CHARACTERS: usize = 12;
pub const MAX_PASSWORD_BYTES: usize = 256;
pub const MAX_EMAIL_BYTES: usize = 254;

/// A person who uses Doorbell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub id: UserId,
    /// Unique, in lower case.
    pub email: String,
    pub name: String,
    /// On the whole instance; none: only where they are a member.
    pub role: Option<Role>,
    pub enabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A user's role in one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub app_id: AppId,
    pub user_id: UserId,
    pub role: Role,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Somebody who logged in, until they log out or are logged out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub holder: Holder,
    /// Which refresh token is the current one; each is good once.
    pub generation: i64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// Where it was begun.
    pub address: Option<String>,
    pub user_agent: Option<String>,
}

impl Session {
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.expires_at && self.revoked_at.is_none_or(|at| now < at)
    }
}

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    User(UserId),
    Portal(Portal),
}

/// Somebody in a product's portal: one app, some permissions, no user of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portal {
    pub app_id: AppId,
    pub permissions: Permissions,
    /// The product's own name for the session, to end it by.
    pub label: Option<String>,
}

/// An address for mail as we keep and compare it; none when it is no such address.
#[must_use]
pub fn normal_email(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '@')
    };
    let good = text.len() <= MAX_EMAIL_BYTES && plain(local) && plain(domain);
    good.then(|| text.to_lowercase())
}

/// What is wrong with a new password, if anything.
#[must_use]
pub fn password_fault(password: &str) -> Option<String> {
    if password.chars().count() < MIN_PASSWORD_CHARACTERS {
        return Some(format!("must have at least {MIN_PASSWORD_CHARACTERS} characters"));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Some(format!("may have at most {MAX_PASSWORD_BYTES} bytes"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_lower_case() {
        assert_eq!(normal_email(" Ada@Example.ORG "), Some("ada@example.org".to_owned()));
        for bad in ["", "ada", "@example.org", "ada@", "a b@example.org", "a@b@c", "a@b\n.c"] {
            assert_eq!(normal_email(bad), None, "{bad}");
        }
        assert_eq!(normal_email(&format!("{}@example.org", "a".repeat(250))), None);
    }

    #[test]
    fn passwords_have_bounds() {
        assert!(password_fault("short").is_some());
        assert!(password_fault("twelve chars").is_none());
        assert!(password_fault(&"x".repeat(MAX_PASSWORD_BYTES + 1)).is_some());
    }
}
