//! Who changed what: the nouns of the audit log, and the chain that holds its entries together.
//!
//! Each entry's hash is keyed and covers the entry and the hash before it. Somebody who can write
//! to the database but does not hold the instance's key can neither change an entry, nor remove
//! one, nor add one, without [`Chain`] showing where. The texts are hashed as they are stored, so
//! that reading them back in another way changes nothing.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AppId, Timestamp};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    pub kind: ActorKind,
    /// The id of the token or user; none for the system.
    pub id: Option<String>,
    pub name: String,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    pub request_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    Token,
    User,
    /// A person in a product's portal, by a portal token.
    Portal,
    /// Doorbell itself: a schedule, a rule, the command line.
    System,
}

impl ActorKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::User => "user",
            Self::Portal => "portal",
            Self::System => "system",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "token" => Self::Token,
            "user" => Self::User,
            "portal" => Self::Portal,
            _ => Self::System,
        }
    }
}

impl Actor {
    /// Doorbell itself, in the named part.
    #[must_use]
    pub fn system(part: &str) -> Self {
        Self {
            kind: ActorKind::System,
            id: None,
            name: part.to_owned(),
            address: None,
            request_id: None,
        }
    }
}

/// One change, as its maker describes it. Secrets are redacted before they come here.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// `noun.verb`, for instance `endpoint.create`.
    pub action: &'static str,
    /// What was changed: its id.
    pub target: String,
    pub app_id: Option<AppId>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// One entry of the log as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// From 1, without gaps.
    pub seq: i64,
    pub at: Timestamp,
    pub actor: Actor,
    pub action: String,
    pub target: String,
    pub app_id: Option<AppId>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// Chains this entry to the one before it.
    pub hash: Hash,
}

pub type Hash = [u8; 32];

/// A hash as people compare it.
#[must_use]
pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the first entry is chained to.
pub const NOTHING: Hash = [0; 32];

/// An entry in the texts that are stored, without its hash.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub seq: i64,
    pub at: i64,
    pub actor_kind: &'a str,
    pub actor_id: Option<&'a str>,
    pub actor_name: &'a str,
    pub actor_address: Option<&'a str>,
    pub request_id: Option<&'a str>,
    pub action: &'a str,
    pub target: &'a str,
    pub app_id: Option<&'a str>,
    pub before: Option<&'a str>,
    pub after: Option<&'a str>,
}

/// Makes and checks the hashes of one instance's log.
pub struct Chain(hmac::Key);

impl Chain {
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The hash of an entry after another.
    #[must_use]
    pub fn link(&self, previous: &Hash, record: &Record<'_>) -> Hash {
        let mut canonical = Canonical::new(&self.0, "entry");
        canonical.bytes(previous);
        canonical.number(record.seq);
        canonical.number(record.at);
        for text in [
            Some(record.actor_kind),
            record.actor_id,
            Some(record.actor_name),
            record.actor_address,
            record.request_id,
            Some(record.action),
            Some(record.target),
            record.app_id,
            record.before,
            record.after,
        ] {
            canonical.text(text);
        }
        canonical.hash()
    }

    /// Shows that we wrote that the chain stands at this entry.
    #[must_use]
    pub fn mark(&self, name: &str, seq: i64, hash: &Hash) -> Hash {
        let mut canonical = Canonical::new(&self.0, "mark");
        canonical.text(Some(name));
        canonical.number(seq);
        canonical.bytes(hash);
        canonical.hash()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain(redacted)")
    }
}

/// The canonical encoding: every field says whether it is there and how long it is, so that no
/// two records are written alike.
struct Canonical(hmac::Context);

impl Canonical {
    fn new(key: &hmac::Key, kind: &str) -> Self {
        let mut canonical = Self(hmac::Context::with_key(key));
        canonical.text(Some(kind));
        canonical
    }

    fn text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.bytes(text.as_bytes()),
            None => self.0.update(&[0]),
        }
    }

    fn number(&mut self, number: i64) {
        self.bytes(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.0.update(&[1]);
        self.0.update(&length.to_be_bytes());
        self.0.update(bytes);
    }

    fn hash(self) -> Hash {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.sign().as_ref());
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record<'static> = Record {
        seq: 7,
        at: 1_700_000_000_000,
        actor_kind: "token",
        actor_id: Some("key_1"),
        actor_name: "deploy",
        actor_address: Some("192.0.2.1"),
        request_id: None,
        action: "endpoint.update",
        target: "ep_1",
        app_id: Some("app_1"),
        before: Some("{}"),
        after: None,
    };

    #[test]
    fn every_field_counts() {
        let chain = Chain::new(b"a key");
        let hash = chain.link(&NOTHING, &RECORD);
        let changed = [
            Record { seq: 8, ..RECORD },
            Record { at: 1, ..RECORD },
            Record { actor_kind: "user", ..RECORD },
            Record { actor_id: None, ..RECORD },
            Record { actor_name: "other", ..RECORD },
            Record { actor_address: None, ..RECORD },
            Record { request_id: Some(""), ..RECORD },
            Record { action: "endpoint.delete", ..RECORD },
            Record { target: "ep_2", ..RECORD },
            Record { app_id: None, ..RECORD },
            Record { before: None, after: Some("{}"), ..RECORD },
            Record { after: Some(""), ..RECORD },
        ];
        for record in changed {
            assert_ne!(chain.link(&NOTHING, &record), hash, "{record:?}");
        }
        assert_ne!(chain.link(&hash, &RECORD), hash);
        assert_ne!(Chain::new(b"another").link(&NOTHING, &RECORD), hash);
        assert_eq!(chain.link(&NOTHING, &RECORD.clone()), hash);
    }

    #[test]
    fn neighbouring_texts_do_not_run_into_each_other() {
        let chain = Chain::new(b"a key");
        let one = Record { action: "a.b", target: "c", ..RECORD };
        let two = Record { action: "a.", target: "bc", ..RECORD };
        assert_ne!(chain.link(&NOTHING, &one), chain.link(&NOTHING, &two));
    }

    #[test]
    fn a_mark_says_which_it_is_and_where_it_stands() {
        let chain = Chain::new(b"a key");
        let mark = chain.mark("head", 3, &NOTHING);
        assert_eq!(chain.mark("head", 3, &NOTHING), mark);
        assert_ne!(chain.mark("head", 2, &NOTHING), mark);
        assert_ne!(chain.mark("anchor", 3, &NOTHING), mark);
        assert_ne!(chain.mark("head", 3, &[1; 32]), mark);
    }
}
