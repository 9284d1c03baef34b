//! Whose token is this?
//!
//! A signed token names a session, and the session's row decides: it is read once in
//! [`FRESH_MS`] and remembered, and what this process changes it forgets at once. Any other text
//! is a service token and is verified like every API key.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, header};
use keys::VerifyRequest;
use model::access::Holder;
use model::key::SERVICE_KEYSPACE;
use model::key::decide::Code as Decision;
use model::session::{MAX_TOKEN_BYTES, SessionKeys};
use model::{SessionId, Timestamp};
use quick_cache::sync::Cache;
use store::SessionFacts;

use super::grants::Who;
use crate::AppState;
use crate::problem::{Code, Problem, Result};

/// How long a session's row is believed: one that is ended elsewhere is refused this much later
/// at the most.
const FRESH_MS: u64 = 500;
/// Sessions remembered at the most.
const MAX_REMEMBERED: usize = 10_000;
const MAX_USER_AGENT_LEN: usize = 256;
const UNAVAILABLE_RETRY_S: u64 = 1;

type Remembered = (Timestamp, Option<Arc<SessionFacts>>);

#[derive(Debug)]
pub(crate) struct LiveSessions {
    pub keys: SessionKeys,
    seen: Cache<SessionId, Remembered>,
    /// Counts what was forgotten: what was read before is not remembered after.
    forgotten: AtomicU64,
}

impl LiveSessions {
    pub fn new(keys: SessionKeys) -> Self {
        Self { keys, seen: Cache::new(MAX_REMEMBERED), forgotten: AtomicU64::new(0) }
    }

    pub fn forget(&self, id: SessionId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.seen.remove(&id);
    }

    /// After a change of a user, a member, or of many sessions.
    pub fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.seen.clear();
    }

    fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Keeps what was read when so much was `forgotten`, unless more was since.
    fn remember(&self, forgotten: u64, id: SessionId, seen: Remembered) {
        self.seen.insert(id, seen);
        if self.forgotten() != forgotten {
            self.seen.remove(&id);
        }
    }

    /// The session, if it lives and its user may use it.
    async fn living(&self, state: &AppState, id: SessionId) -> Result<Option<Arc<SessionFacts>>> {
        let now = state.store.clock().now();
        let facts = match self.seen.get(&id) {
            Some((at, facts)) if at <= now && now.since_ms(at) < FRESH_MS => facts,
            _ => {
                let forgotten = self.forgotten();
                let facts = state.store.session_facts(id).await?.map(Arc::new);
                // The moment before the look-up: what happened since is not in it.
                self.remember(forgotten, id, (now, facts.clone()));
                facts
            }
        };
        Ok(facts.filter(|facts| is_good(facts, now)))
    }
}

fn is_good(facts: &SessionFacts, now: Timestamp) -> bool {
    let holder_is_good = match (&facts.session.holder, &facts.user) {
        (Holder::Portal(_), _) => true,
        (Holder::User(_), user) => user.as_ref().is_some_and(|user| user.enabled),
    };
    holder_is_good && facts.session.is_alive(now)
}

/// Whose token the request shows.
pub(super) async fn who(
    state: &AppState,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<Who> {
    let token = bearer(headers)?;
    let sessions = &state.access.sessions;
    if !sessions.keys.is_signed_token(token) {
        return service(state, token, headers, address).await;
    }
    let claims = sessions.keys.check(token, state.store.clock().now());
    let claims = claims.map_err(|_| not_valid())?;
    let facts = sessions.living(state, claims.sid).await?;
    facts.map(Who::Session).ok_or_else(not_valid)
}

async fn service(
    state: &AppState,
    token: &str,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<Who> {
    let request = VerifyRequest {
        keyspace: Some(SERVICE_KEYSPACE),
        address,
        peer: address,
        user_agent: user_agent(headers),
        ..VerifyRequest::new(token)
    };
    let verdict = state.keys.verify(request).await;
    match (verdict.code, verdict.entry) {
        (Decision::Valid, Some(entry)) => Ok(Who::Service(entry)),
        (Decision::RateLimited, _) => {
            let problem = Problem::new(Code::RateLimited, "This token has used up a limit.");
            Err(problem.limited_by(verdict.limits))
        }
        (Decision::Unavailable, _) => {
            let problem = Problem::new(Code::Unavailable, "The token cannot be checked now.");
            Err(problem.retry_after_s(UNAVAILABLE_RETRY_S))
        }
        // One answer, whatever is wrong with it.
        _ => Err(not_valid()),
    }
}

/// The token of the one `Authorization` header.
fn bearer(headers: &HeaderMap) -> Result<&str> {
    let missing =
        || Problem::new(Code::Unauthorized, "Send the header `Authorization: Bearer <token>`.");
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return Err(missing()) };
    let text = value.to_str().map_err(|_| missing())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    let token = token.trim();
    let usable = !token.is_empty() && token.len() <= MAX_TOKEN_BYTES;
    if scheme.eq_ignore_ascii_case("bearer") && usable { Ok(token) } else { Err(missing()) }
}

pub(crate) fn user_agent(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    // Only visible ASCII is text here: every index is a boundary.
    Some(&text[..text.len().min(MAX_USER_AGENT_LEN)])
}

fn not_valid() -> Problem {
    Problem::new(Code::Unauthorized, "The token is not valid.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let sessions = LiveSessions::new(SessionKeys::new(&[7; 32]).unwrap());
        let id = SessionId::new(Timestamp(0), &model::Entropy::seeded(1));
        let seen = || (Timestamp(0), None);
        sessions.remember(sessions.forgotten(), id, seen());
        assert!(sessions.seen.get(&id).is_some());

        let before = sessions.forgotten();
        sessions.forget(id);
        sessions.remember(before, id, seen());
        assert!(sessions.seen.get(&id).is_none(), "forgotten while it was read");

        let before = sessions.forgotten();
        sessions.forget_all();
        sessions.remember(before, id, seen());
        assert!(sessions.seen.get(&id).is_none(), "all forgotten while it was read");
    }
}
