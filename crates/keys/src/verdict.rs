//! What a verification asks and answers.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use model::key::decide::Code;
use model::key::scope::ScopeQuery;
use model::key::{Key, Keyspace};
use model::{AppId, Timestamp};

use crate::entry::Entry;
use crate::limiter::Standing;

/// One question about one token.
#[derive(Clone, Debug)]
pub struct VerifyRequest<'a> {
    pub token: &'a str,
    /// Id or uid of the keyspace that guards the API; a key of another one is not found.
    pub keyspace: Option<&'a str>,
    /// A caller of one app sees only its keys; others are not found.
    pub app: Option<AppId>,
    pub environment: Option<&'a str>,
    pub scopes: Option<&'a ScopeQuery>,
    /// The address of the key's user: for allow-lists and the last use.
    pub address: Option<IpAddr>,
    /// Who is charged for unknown tokens; `address` where there is none.
    pub peer: Option<IpAddr>,
    pub user_agent: Option<&'a str>,
    /// What this request costs in each automatic limit.
    pub cost: u64,
    /// Limits of the key that are not automatic, or that have a cost of their own.
    pub limits: &'a [LimitUse<'a>],
    /// False: a dry run, nothing is counted.
    pub consume: bool,
    /// Ask the database, whatever is in memory. When the budget for unknown tokens is spent, the
    /// answer is that it cannot be told.
    pub fresh: bool,
}

impl<'a> VerifyRequest<'a> {
    #[must_use]
    pub const fn new(token: &'a str) -> Self {
        Self {
            token,
            keyspace: None,
            app: None,
            environment: None,
            scopes: None,
            address: None,
            peer: None,
            user_agent: None,
            cost: 1,
            limits: &[],
            consume: true,
            fresh: false,
        }
    }
}

/// The use of one named limit.
#[derive(Clone, Copy, Debug)]
pub struct LimitUse<'a> {
    pub name: &'a str,
    pub cost: u64,
}

/// The answer, and why.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub code: Code,
    /// Why, in words for a developer.
    pub reason: Cow<'static, str>,
    /// The credential, unless the token is malformed or not found.
    pub entry: Option<Arc<Entry>>,
    /// The secret is the one before: good until then.
    pub grace_ends_at: Option<Timestamp>,
    /// Where the limits stand that were asked.
    pub limits: Vec<Standing>,
    /// Named limits that the key does not have.
    pub unknown_limits: Vec<String>,
    pub retry_after_ms: Option<u64>,
    /// How old the last confirmation is that nothing was revoked.
    pub stale_ms: u64,
    /// Answered from memory.
    pub cached: bool,
    /// A limit was counted by this node alone because Redis does not answer.
    pub degraded: bool,
}

impl Verdict {
    /// A refusal that tells nothing of any key.
    pub(crate) const fn refused(code: Code, reason: &'static str) -> Self {
        Self {
            code,
            reason: Cow::Borrowed(reason),
            entry: None,
            grace_ends_at: None,
            limits: Vec::new(),
            unknown_limits: Vec::new(),
            retry_after_ms: None,
            stale_ms: 0,
            cached: false,
            degraded: false,
        }
    }

    pub(crate) fn of(code: Code, reason: Cow<'static, str>, entry: Arc<Entry>) -> Self {
        // The current secret has no end of its own.
        let grace_ends_at = entry.secret.ends_at;
        Self { reason, grace_ends_at, entry: Some(entry), ..Self::refused(code, "") }
    }

    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.code == Code::Valid
    }

    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.entry.as_deref().map(|entry| &*entry.key)
    }

    #[must_use]
    pub fn keyspace(&self) -> Option<&Keyspace> {
        self.entry.as_deref().map(|entry| &*entry.keyspace)
    }

    /// Whether a newer secret of the key exists.
    #[must_use]
    pub const fn is_superseded(&self) -> bool {
        self.grace_ends_at.is_some()
    }
}
