//! Is this key good for this request? One pure function, cheap checks first, nothing counted
//! before everything else is right.
//!
//! Whoever verifies has found the rows by the token and checked their tags. [`decide`] looks at
//! one thing after another and names the first fault; the limits are asked only after it said
//! [`Code::Valid`]. [`explain`] says the same in words, for whoever wants to know why.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::allow::AllowList;
use super::scope::{Granted, ScopeQuery};
use super::{Key, KeyOwner, KeySecret, Keyspace};
use crate::Timestamp;

/// Every answer that a verification can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The key is good for the request.
    Valid,
    /// Not the text of a token: prefix, length, alphabet or checksum.
    Malformed,
    /// No such key, or none that the asker may know of.
    NotFound,
    /// Switched off, and may be switched on again.
    Disabled,
    /// Withdrawn for good.
    Revoked,
    /// By its date, for want of use, or by the keyspace's longest life.
    Expired,
    /// A rotated secret whose grace is over.
    RotatedOut,
    /// Its owner is switched off with all their keys.
    OwnerDisabled,
    /// A key of another environment than the one that is guarded.
    WrongEnv,
    /// The address is not on an allow-list, or was not given where there is one.
    IpNotAllowed,
    /// Its scopes do not satisfy what was asked.
    InsufficientScope,
    /// A limit is reached.
    RateLimited,
    /// It could not be told now: the database, or the pool of password hashes, does not answer.
    Unavailable,
}

impl Code {
    /// Every code, in the order of the checks.
    pub const ALL: [Self; 13] = [
        Self::Valid,
        Self::Malformed,
        Self::NotFound,
        Self::Disabled,
        Self::Revoked,
        Self::Expired,
        Self::RotatedOut,
        Self::OwnerDisabled,
        Self::WrongEnv,
        Self::IpNotAllowed,
        Self::InsufficientScope,
        Self::RateLimited,
        Self::Unavailable,
    ];

    /// As it goes over the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::Malformed => "MALFORMED",
            Self::NotFound => "NOT_FOUND",
            Self::Disabled => "DISABLED",
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
            Self::RotatedOut => "ROTATED_OUT",
            Self::OwnerDisabled => "OWNER_DISABLED",
            Self::WrongEnv => "WRONG_ENV",
            Self::IpNotAllowed => "IP_NOT_ALLOWED",
            Self::InsufficientScope => "INSUFFICIENT_SCOPE",
            Self::RateLimited => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// The code of a text that [`Code::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// What it means, without the facts of a case.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Valid => "the key is good",
            Self::Malformed => "this is not the text of a token",
            Self::NotFound => "there is no such key",
            Self::Disabled => "the key is disabled",
            Self::Revoked => "the key is revoked",
            Self::Expired => "the key is expired",
            Self::RotatedOut => "the secret was replaced and its grace is over",
            Self::OwnerDisabled => "the key's owner is disabled",
            Self::WrongEnv => "the key is of another environment",
            Self::IpNotAllowed => "the key may not be used from this address",
            Self::InsufficientScope => "the key's scopes are not sufficient",
            Self::RateLimited => "a limit is reached",
            Self::Unavailable => "it cannot be told now; ask again",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a verification asks, besides the token.
#[derive(Clone, Debug, Default)]
pub struct Question<'a> {
    /// The environment that the caller guards; a key of another one is refused.
    pub environment: Option<&'a str>,
    /// What the key's scopes must satisfy.
    pub scopes: Option<&'a ScopeQuery>,
    /// The address of the key's user. A key with an allow-list is refused without one.
    pub address: Option<IpAddr>,
}

/// What is known of the key, its tags checked.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The keyspace of the key.
    pub keyspace: &'a Keyspace,
    /// The key of the secret.
    pub key: &'a Key,
    /// The secret whose token was shown.
    pub secret: &'a KeySecret,
    /// The key's owner, where something is kept of them.
    pub owner: Option<&'a KeyOwner>,
    /// The scopes of the key and of its roles.
    pub granted: &'a Granted,
    /// The latest use that is known.
    pub last_used_at: Option<Timestamp>,
}

/// The first fault, or [`Code::Valid`]. Nothing is allocated.
#[must_use]
pub fn decide(question: &Question<'_>, facts: &Facts<'_>, now: Timestamp) -> Code {
    let Facts { keyspace, key, secret, owner, granted, .. } = *facts;
    if !key.enabled {
        return Code::Disabled;
    }
    if key.revoked.is_some() {
        return Code::Revoked;
    }
    if end_of_life(facts).is_some_and(|end| end.at <= now) {
        return Code::Expired;
    }
    if secret.ends_at.is_some_and(|end| end <= now) {
        return Code::RotatedOut;
    }
    if owner.is_some_and(|owner| !owner.enabled) {
        return Code::OwnerDisabled;
    }
    if question.environment.is_some_and(|guarded| guarded != key.environment) {
        return Code::WrongEnv;
    }
    if !admits(&key.ip_allow, question.address) || !admits(&keyspace.ip_allow, question.address) {
        return Code::IpNotAllowed;
    }
    if question.scopes.is_some_and(|asked| !asked.is_satisfied_by(granted)) {
        return Code::InsufficientScope;
    }
    Code::Valid
}

/// Why, in words for a developer. For codes that [`decide`] does not give, [`Code::reason`].
#[must_use]
pub fn explain(code: Code, question: &Question<'_>, facts: &Facts<'_>) -> String {
    let Facts { key, secret, owner, granted, .. } = *facts;
    let details = match code {
        Code::Revoked => key.revoked.as_ref().map(|revoked| {
            format!("the key was revoked at {} ({})", revoked.at, revoked.reason.as_str())
        }),
        Code::Expired => end_of_life(facts).map(|end| format!("{} at {}", end.words, end.at)),
        Code::RotatedOut => {
            secret.ends_at.map(|at| format!("the secret was replaced and its grace ended at {at}"))
        }
        Code::OwnerDisabled => owner.map(|owner| format!("the owner `{}` is disabled", owner.name)),
        Code::WrongEnv => question.environment.map(|guarded| {
            format!("the key is of the environment `{}`, not `{guarded}`", key.environment)
        }),
        Code::IpNotAllowed => Some(address_refused(question.address)),
        Code::InsufficientScope => question.scopes.map(|asked| asked.explain(granted).text),
        _ => None,
    };
    details.unwrap_or_else(|| code.reason().to_owned())
}

/// When a key ends, and by which rule.
struct EndOfLife {
    at: Timestamp,
    words: &'static str,
}

fn end_of_life(facts: &Facts<'_>) -> Option<EndOfLife> {
    let Facts { keyspace, key, last_used_at, .. } = *facts;
    let last_sign = last_used_at.map_or(key.created_at, |used| used.max(key.created_at));
    let by_date = key.expires_at;
    let by_idleness =
        key.idle_expiry_ms.or(keyspace.idle_expiry_ms).map(|ms| last_sign.plus_ms(ms));
    let by_age = keyspace.max_lifetime_ms.map(|ms| key.created_at.plus_ms(ms));
    let ends = [
        (by_date, "the key expired"),
        (by_idleness, "the key was not used for so long that it expired"),
        (by_age, "the key reached the longest life of its keyspace"),
    ];
    let ends = ends.into_iter().filter_map(|(at, words)| Some(EndOfLife { at: at?, words }));
    ends.min_by_key(|end| end.at)
}

fn admits(list: &AllowList, address: Option<IpAddr>) -> bool {
    address.map_or(list.is_empty(), |address| list.permits(address))
}

fn address_refused(address: Option<IpAddr>) -> String {
    match address {
        Some(address) => format!("the key may not be used from {address}"),
        None => "the key has an allow-list of addresses, and no address was given".to_owned(),
    }
}

#[cfg(test)]
mod tests;
