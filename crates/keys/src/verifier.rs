//! The way of one verification: the token's lookup, its credential, the one pure decision, and
//! last, since it counts, the limits.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Timestamp;
use model::key::WhenStale;
use model::key::decide::{self, Code, Facts, Question};
use model::key::token;

use crate::credentials::{Asked, Found, Unavailable};
use crate::entry::Entry;
use crate::follower::CONFIRMED_MS;
use crate::usage::Use;
use crate::{HashCheck, Keys, Verdict, VerifyRequest, limits};

/// Tokens of other systems are looked at up to this length.
const MAX_TOKEN: usize = 512;
/// How long a node serves what it cannot confirm, where that is allowed.
const SERVED_MS: u64 = 5_000;
/// A key that looks idle was perhaps used at another node: its row is read again, but not more
/// often than this.
const IDLE_REREAD: Duration = Duration::from_secs(10);

const UNCONFIRMED: &str = "this node cannot confirm that the key was not revoked";

/// When a question was asked, by both of the clock's counts.
#[derive(Clone, Copy)]
struct Moment {
    now: Timestamp,
    elapsed: Duration,
}

/// What memory says.
enum Held {
    Good(Arc<Entry>),
    /// Ask the database.
    Ask,
    /// Known, but not to be served while nothing is confirmed.
    Refused,
}

impl Keys {
    /// Is this key good for this request?
    pub async fn verify(&self, request: VerifyRequest<'_>) -> Verdict {
        let clock = self.0.store.clock();
        let at = Moment { now: clock.now(), elapsed: clock.elapsed() };
        let mut verdict = self.answer(&request, at).await;
        verdict.stale_ms = self.0.follower.stale_ms(at.elapsed);
        self.count(&request, &verdict, at);
        verdict
    }

    async fn answer(&self, request: &VerifyRequest<'_>, at: Moment) -> Verdict {
        let token = token::bare(request.token);
        let is_foreign = token::check(token).is_err();
        if is_foreign && !self.may_be_imported(token) {
            return refused(Code::Malformed);
        }
        let asked = Asked {
            token,
            lookup: self.0.peppers.lookup(token),
            peer: request.peer.or(request.address),
        };
        let (entry, is_cached) = match self.held(&asked, request, at) {
            Held::Good(entry) => (entry, true),
            Held::Refused => return Verdict::refused(Code::Unavailable, UNCONFIRMED),
            Held::Ask => match Box::pin(self.ask(&asked, request)).await {
                Ok(Some(entry)) => (entry, false),
                Ok(None) if is_foreign => return refused(Code::Malformed),
                Ok(None) => return refused(Code::NotFound),
                Err(Unavailable) => return refused(Code::Unavailable),
            },
        };
        let mut verdict = self.judge(request, &asked, entry, at).await;
        verdict.cached = is_cached;
        verdict
    }

    fn may_be_imported(&self, token: &str) -> bool {
        token.len() <= MAX_TOKEN && !self.0.credentials.kinds().is_empty()
    }

    fn held(&self, asked: &Asked<'_>, request: &VerifyRequest<'_>, at: Moment) -> Held {
        let Some(entry) = self.0.credentials.memory.get(&asked.lookup) else { return Held::Ask };
        if request.fresh {
            return Held::Ask;
        }
        let stale_ms = self.0.follower.stale_ms(at.elapsed);
        match entry.keyspace.when_stale {
            _ if stale_ms <= CONFIRMED_MS => Held::Good(entry),
            WhenStale::Deny => Held::Refused,
            WhenStale::Serve if stale_ms <= SERVED_MS => Held::Good(entry),
            WhenStale::Serve | WhenStale::Check => Held::Ask,
        }
    }

    async fn ask(&self, asked: &Asked<'_>, request: &VerifyRequest<'_>) -> Found {
        let credentials = &self.0.credentials;
        if credentials.memory.get(&asked.lookup).is_some() {
            return credentials.ask_again(asked).await;
        }
        if request.fresh {
            return credentials.ask_afresh(asked).await;
        }
        credentials.ask(asked).await
    }

    async fn judge(
        &self,
        request: &VerifyRequest<'_>,
        asked: &Asked<'_>,
        mut entry: Arc<Entry>,
        at: Moment,
    ) -> Verdict {
        if !is_meant(request, &entry) {
            return refused(Code::NotFound);
        }
        let mut code = decide(request, &entry, at.now);
        if code == Code::Expired && is_worth_rereading(&entry, at) {
            match Box::pin(self.0.credentials.ask_again(asked)).await {
                Ok(Some(again)) => entry = again,
                Ok(None) => return refused(Code::NotFound),
                Err(Unavailable) => return refused(Code::Unavailable),
            }
            code = decide(request, &entry, at.now);
        }
        if code == Code::Valid && self.must_compare(&entry) {
            match Box::pin(self.compare(asked, &entry)).await {
                Ok(true) => {}
                Ok(false) => return refused(Code::NotFound),
                Err(Unavailable) => return refused(Code::Unavailable),
            }
        }
        let mut verdict = Verdict::of(code, reason(code, request, &entry), entry);
        if code == Code::Valid {
            limits::take(&self.0.limiter, request, &mut verdict).await;
        }
        verdict
    }

    fn must_compare(&self, entry: &Entry) -> bool {
        match self.0.hash_check {
            HashCheck::Never => false,
            HashCheck::FirstUse => !entry.is_hash_checked.load(Ordering::Relaxed),
            HashCheck::Always => true,
        }
    }

    async fn compare(&self, asked: &Asked<'_>, entry: &Entry) -> Result<bool, Unavailable> {
        let credentials = &self.0.credentials;
        if !credentials.is_hash_of(&entry.secret, asked).await? {
            credentials.report_hash(&entry.secret);
            return Ok(false);
        }
        entry.is_hash_checked.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// Afterwards: usage, and what is done now and then with a good token at hand.
    fn count(&self, request: &VerifyRequest<'_>, verdict: &Verdict, at: Moment) {
        self.0.stats.count(verdict);
        let Some(entry) = &verdict.entry else { return };
        if !request.consume {
            return;
        }
        self.0.usage.add(&Use {
            key: entry.key.id,
            secret: entry.secret.id,
            outcome: verdict.code,
            at: at.now,
            cost: if verdict.is_valid() { request.cost } else { 0 },
            took: self.0.store.clock().elapsed().saturating_sub(at.elapsed),
            address: request.address,
            user_agent: request.user_agent,
        });
        if verdict.is_valid() {
            entry.used(at.now);
            self.look_after(request.token, entry);
        }
    }
}

fn refused(code: Code) -> Verdict {
    Verdict::refused(code, code.reason())
}

/// Of the keyspace and app that the caller named.
fn is_meant(request: &VerifyRequest<'_>, entry: &Entry) -> bool {
    let of_keyspace = request.keyspace.is_none_or(|named| {
        entry.keyspace.id.as_str() == named || entry.keyspace.uid.as_deref() == Some(named)
    });
    of_keyspace && request.app.is_none_or(|app| entry.key.app_id == Some(app))
}

fn question<'a>(request: &'a VerifyRequest<'_>) -> Question<'a> {
    Question { environment: request.environment, scopes: request.scopes, address: request.address }
}

fn facts(entry: &Entry) -> Facts<'_> {
    Facts {
        keyspace: &entry.keyspace,
        key: &entry.key,
        secret: &entry.secret,
        owner: entry.owner.as_deref(),
        granted: &entry.granted,
        last_used_at: entry.last_used_at(),
    }
}

fn decide(request: &VerifyRequest<'_>, entry: &Entry, now: Timestamp) -> Code {
    decide::decide(&question(request), &facts(entry), now)
}

fn reason(code: Code, request: &VerifyRequest<'_>, entry: &Entry) -> Cow<'static, str> {
    if code == Code::Valid {
        return Cow::Borrowed(code.reason());
    }
    Cow::Owned(decide::explain(code, &question(request), &facts(entry)))
}

fn is_worth_rereading(entry: &Entry, at: Moment) -> bool {
    let idles = entry.key.idle_expiry_ms.or(entry.keyspace.idle_expiry_ms).is_some();
    idles && at.elapsed.saturating_sub(entry.read_at) >= IDLE_REREAD
}
