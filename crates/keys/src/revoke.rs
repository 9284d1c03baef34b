//! Revocation, and waiting until every node knows.

use std::net::IpAddr;
use std::time::Duration;

use model::audit::Actor;
use model::key::decide::Code;
use model::key::{Key, Revocation, RevocationReason};

use crate::{KeyAt, Keys, KeysError, VerifyRequest, events};

/// Bytes of a revocation's note.
const MAX_NOTE: usize = 1_024;

/// Who of the living nodes has applied a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    pub nodes: usize,
    pub confirmed: usize,
    pub took_ms: u64,
}

impl Confirmation {
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.confirmed >= self.nodes
    }
}

#[derive(Clone, Debug)]
pub struct Revoked {
    pub key: Key,
    /// When it was waited for.
    pub confirmation: Option<Confirmation>,
}

/// How often a waiting revocation looks who has confirmed.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest wait.
pub const MAX_WAIT_MS: u64 = 10_000;

impl Keys {
    /// Revokes for good; a second time changes nothing. With `wait_ms` it answers when all living
    /// nodes have confirmed, or when the time is over.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn revoke_key(
        &self,
        at: KeyAt<'_>,
        reason: RevocationReason,
        note: Option<String>,
        wait_ms: Option<u64>,
        by: &Actor,
    ) -> Result<Revoked, KeysError> {
        if note.as_ref().is_some_and(|note| note.len() > MAX_NOTE || note.contains('\0')) {
            return Err(KeysError::invalid(
                "note",
                format!("at most {MAX_NOTE} bytes, without NUL"),
            ));
        }
        let revocation = Revocation { at: self.now(), reason, note };
        let revoke = |before: &Key| {
            let revoked = Some(revocation.clone());
            before.revoked.is_none().then(|| Key { revoked, ..before.clone() })
        };
        let key = self.rewrite_key(at, revoke, by).await?;
        self.announce(events::revoked(&key).into_iter().collect()).await;
        let confirmation = match wait_ms {
            Some(wait_ms) => Some(self.wait_for_nodes(wait_ms).await?),
            None => None,
        };
        Ok(Revoked { key, confirmation })
    }

    /// Revokes the key whose token the caller shows: proof of possession is the permission.
    /// `peer` is charged when it is unknown.
    ///
    /// # Errors
    /// When the token is of no key, too many unknown ones were shown, or the database fails.
    pub async fn revoke_own(
        &self,
        token: &str,
        peer: Option<IpAddr>,
        reason: RevocationReason,
        note: Option<String>,
        by: &Actor,
    ) -> Result<Revoked, KeysError> {
        let asked = VerifyRequest::new(token);
        let request = VerifyRequest { consume: false, fresh: true, peer, ..asked };
        let verdict = self.verify(request).await;
        if verdict.code == Code::Unavailable {
            return Err(KeysError::Busy);
        }
        let entry = verdict.entry.ok_or(KeysError::NotFound("key"))?;
        let at = KeyAt { app: entry.key.app_id, id: entry.key.id.as_str() };
        self.revoke_key(at, reason, note, None, by).await
    }

    /// Waits until every living node has applied all changes that are made by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wait_for_nodes(&self, wait_ms: u64) -> Result<Confirmation, KeysError> {
        let store = &self.0.store;
        let target = store.newest_key_change().await?;
        let began = store.clock().elapsed();
        let took_ms = || {
            let took = store.clock().elapsed().saturating_sub(began);
            u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
        };
        let all = async {
            loop {
                let (nodes, confirmed) = self.confirmed(target).await?;
                if confirmed == nodes {
                    return Ok(Confirmation { nodes, confirmed, took_ms: took_ms() });
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let wait = Duration::from_millis(wait_ms.min(MAX_WAIT_MS));
        match tokio::time::timeout(wait, all).await {
            Ok(answer) => answer,
            Err(_) => {
                let (nodes, confirmed) = self.confirmed(target).await?;
                Ok(Confirmation { nodes, confirmed, took_ms: took_ms() })
            }
        }
    }

    /// The living nodes, and how many of them have applied everything up to `target`.
    async fn confirmed(&self, target: i64) -> Result<(usize, usize), KeysError> {
        let nodes = self.0.store.confirmations().await?;
        let confirmed = nodes.iter().filter(|node| node.seq >= target).count();
        Ok((nodes.len(), confirmed))
    }
}
