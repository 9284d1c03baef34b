//! API keys: what a product hands to its customers, and what it asks us on every request.
//!
//! A [`Keyspace`] is the set of keys that guard one API. A [`Key`] belongs to a keyspace and to
//! an app (keys without an app are the instance's own service tokens) and has at most two living
//! [`KeySecret`]s: the current one, and the one before it during a rotation's grace. The token
//! that a caller shows ([`token`]) is never stored: a secret keeps a keyed index of it, a
//! password hash of it and a tag over the row ([`pepper`]). Whether a key is good is one pure
//! function of those rows, the request and the time ([`decide`]).

pub mod allow;
pub mod decide;
pub mod limit;
pub mod pepper;
pub mod scope;
pub mod token;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::allow::AllowList;
use self::limit::Limit;
use crate::{AppId, KeyId, KeySecretId, KeyspaceId, Timestamp};

/// Living secrets of one key at the most: the current one and the one in grace.
pub const MAX_LIVING_SECRETS: usize = 2;
/// The longest grace of a rotation.
pub const MAX_GRACE_MS: u64 = 90 * 24 * 60 * 60 * 1_000;
/// Scopes granted to one key, and scopes of one role.
pub const MAX_SCOPES: usize = 256;
/// Tags of one key.
pub const MAX_TAGS: usize = 32;
/// Metadata entries of one key or keyspace.
pub const MAX_METADATA_ENTRIES: usize = 100;
/// Limits of one key, owner or keyspace.
pub const MAX_LIMITS: usize = 16;

/// The uid of the built-in keyspace: access to Doorbell itself.
pub const SERVICE_KEYSPACE: &str = "doorbell";

/// The set of keys that guard one API, and what holds for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keyspace {
    pub id: KeyspaceId,
    pub uid: Option<String>,
    pub name: String,
    /// What tokens begin with: 1 to 16 of `[a-z0-9]`, beginning with a letter.
    pub prefix: String,
    /// For instance `live` and `test`: 1 to 8 of `[a-z0-9]` each. A key is of exactly one.
    pub environments: Vec<String>,
    /// Scopes that keys may have, by name (`read:contacts`), with a description.
    pub permissions: BTreeMap<String, String>,
    /// Named sets of scopes.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Limits that every key has unless it has one of the same name.
    pub limits: Vec<Limit>,
    pub ip_allow: AllowList,
    /// No key lives longer; its expiry is cut at creation.
    pub max_lifetime_ms: Option<u64>,
    /// A key that was not used for so long is expired.
    pub idle_expiry_ms: Option<u64>,
    pub rotation: Option<RotationPolicy>,
    pub when_stale: WhenStale,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Raised by every change.
    pub version: i64,
}

/// What a node answers when it could not confirm for a second that nothing was revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenStale {
    /// Ask the database for each request; without an answer: unavailable.
    #[default]
    Check,
    /// Refuse at once: unavailable.
    Deny,
    /// Serve what is cached for five seconds, then check.
    Serve,
}

/// Secrets are renewed by themselves: every `interval_ms`, announced `notice_ms` before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationPolicy {
    pub interval_ms: u64,
    pub grace_ms: u64,
    pub notice_ms: u64,
}

/// What somebody may do at an API. Its token is in its secrets; its id, limits and
/// scopes outlive every rotation of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    pub id: KeyId,
    pub keyspace_id: KeyspaceId,
    /// None: a service token of the instance.
    pub app_id: Option<AppId>,
    pub name: String,
    /// Who uses it, in the product's own words; owners share limits and can be disabled.
    pub owner: Option<String>,
    /// One of the keyspace's.
    pub environment: String,
    /// Scopes granted directly; may have wildcards (`docs.*`, `*`).
    pub scopes: Vec<String>,
    /// Roles of the keyspace granted.
    pub roles: Vec<String>,
    /// Beside the keyspace's: an address must be on both.
    pub ip_allow: AllowList,
    pub limits: Vec<Limit>,
    pub expires_at: Option<Timestamp>,
    /// Its own; the keyspace's otherwise.
    pub idle_expiry_ms: Option<u64>,
    pub rotation: Option<RotationPolicy>,
    /// Given back by every verification.
    pub metadata: BTreeMap<String, String>,
    /// For finding and counting keys.
    pub tags: Vec<String>,
    /// Can be switched on again, unlike a revoked key.
    pub enabled: bool,
    pub revoked: Option<Revocation>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Raised by every change, and part of the row's tag: an old row does not pass for a new one.
    pub version: i64,
}

/// That a key is good no more, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    pub at: Timestamp,
    pub reason: RevocationReason,
    pub note: Option<String>,
}

/// Why a key was revoked, after the reason codes of RFC 5280 §5.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    #[default]
    Unspecified,
    /// The token is known to others.
    KeyCompromise,
    /// Its owner belongs elsewhere now.
    AffiliationChanged,
    /// Another key takes its place.
    Superseded,
    /// What it was for has ended.
    CessationOfOperation,
    /// Its owner may not do this any more.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// As it goes over the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key_compromise",
            Self::AffiliationChanged => "affiliation_changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation_of_operation",
            Self::PrivilegeWithdrawn => "privilege_withdrawn",
        }
    }
}

/// One secret of a key, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret {
    pub id: KeySecretId,
    pub key_id: KeyId,
    /// The keyed index of the token; unique. None: an import that is found by `start` only.
    pub lookup: Option<[u8; 32]>,
    /// A password hash in its own format: `$2b$…` of the peppered token, or what was imported.
    pub hash: String,
    /// Which pepper `lookup` and `hash` were made with.
    pub pepper_version: u32,
    /// The prefix and the first four characters: what people recognise it by.
    pub start: String,
    pub created_at: Timestamp,
    /// Until when it is good; none: as long as its key.
    pub ends_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

impl std::fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySecret").field("id", &self.id).field("start", &self.start).finish()
    }
}

/// Somebody in the product's words who has keys: its limits are shared by all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyOwner {
    pub keyspace_id: KeyspaceId,
    pub app_id: Option<AppId>,
    pub name: String,
    pub enabled: bool,
    pub limits: Vec<Limit>,
    pub version: i64,
}

/// A row with the keyed tag over it: whoever reads it to verify a token checks the tag first.
#[derive(Clone, Debug)]
pub struct Tagged<T> {
    pub value: T,
    pub tag: [u8; 32],
    /// Which pepper the tag was made with.
    pub pepper_version: u32,
}
