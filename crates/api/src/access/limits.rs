//! Doorbell's own limits: requests per token and per address, messages per app, and attempts to
//! log in.
//!
//! An account cannot be locked by somebody who guesses at it: attempts are counted for the pair
//! of account and address, and the account as a whole is counted only for addresses from which
//! its user never came in.

use std::net::IpAddr;

use keys::limiter::{Limiter, SubjectKey, Take};
use model::key::limit::{Limit, Mode, Subject, WhenDown};

use super::grants::Who;
use crate::problem::{Code, Problem, Result};

const MINUTE_MS: u64 = 60_000;

/// Per minute; 0 means no limit. The defaults are there for accidents, not for business.
#[derive(Clone, Copy, Debug)]
pub struct AccessLimits {
    pub requests_per_token: u64,
    pub requests_per_address: u64,
    /// Requests from one address whose token is refused, or may not do what it asks for.
    pub refusals_per_address: u64,
    /// Requests that publish into one app; each message of a batch counts.
    pub messages_per_app: u64,
}

impl Default for AccessLimits {
    fn default() -> Self {
        Self {
            requests_per_token: 6_000_000,
            requests_per_address: 6_000_000,
            refusals_per_address: 600,
            messages_per_app: 6_000_000,
        }
    }
}

/// Attempts to log in, each within its window.
#[derive(Clone, Copy, Debug)]
pub struct LoginLimits {
    /// From one address, in five minutes.
    pub per_address: u64,
    /// From one address for one account, in five minutes.
    pub per_address_and_account: u64,
    /// For one account from all addresses that its user never came from, in an hour.
    pub per_account: u64,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self { per_address: 60, per_address_and_account: 10, per_account: 100 }
    }
}

pub(crate) struct Guards {
    limiter: Limiter,
    token: Option<Limit>,
    address: Option<Limit>,
    refusals: Option<Limit>,
    app: Option<Limit>,
    login_address: Option<Limit>,
    login_pair: Option<Limit>,
    login_account: Option<Limit>,
}

impl Guards {
    pub fn new(limiter: Limiter, access: AccessLimits, login: LoginLimits) -> Self {
        let loose = |name, limit| limit_of(name, limit, MINUTE_MS, Mode::Leased);
        let strict = |name, limit, window_ms| limit_of(name, limit, window_ms, Mode::Strict);
        Self {
            limiter,
            token: loose("doorbell-token", access.requests_per_token),
            address: loose("doorbell-address", access.requests_per_address),
            refusals: loose("doorbell-refusals", access.refusals_per_address),
            app: loose("doorbell-messages", access.messages_per_app),
            login_address: strict("login-address", login.per_address, 5 * MINUTE_MS),
            login_pair: strict("login-pair", login.per_address_and_account, 5 * MINUTE_MS),
            login_account: strict("login-account", login.per_account, 60 * MINUTE_MS),
        }
    }

    /// One request, of a caller if there is one, into an app if it publishes.
    pub async fn request(
        &self,
        who: Option<&Who>,
        address: Option<IpAddr>,
        publishes_to: Option<&str>,
    ) -> Result<()> {
        let token = self.token.as_ref().zip(who.map(Who::subject));
        let address = self.address.as_ref().zip(address.map(SubjectKey::address));
        let app = self.app.as_ref().zip(publishes_to.map(app_subject));
        self.take([token, address, app], 1).await
    }

    /// One request that is refused.
    pub async fn refusal(&self, address: Option<IpAddr>) -> Result<()> {
        self.take([self.refusals.as_ref().zip(address.map(SubjectKey::address))], 1).await
    }

    /// Further messages of one request that publishes.
    pub async fn messages(&self, app: &str, count: u64) -> Result<()> {
        self.take([self.app.as_ref().map(|limit| (limit, app_subject(app)))], count).await
    }

    /// An attempt to log in, before anything is looked up.
    pub async fn login_from(&self, address: Option<IpAddr>) -> Result<()> {
        let subject = client(address);
        self.take([self.login_address.as_ref().map(|limit| (limit, subject))], 1).await
    }

    /// An attempt to log in to one account; `known` when its user came in from there before.
    pub async fn login_to(&self, email: &str, address: Option<IpAddr>, known: bool) -> Result<()> {
        let pair = SubjectKey::named(&["login", email, &client(address).to_string()]);
        let account = SubjectKey::named(&["login", email]);
        let pair = self.login_pair.as_ref().map(|limit| (limit, pair));
        let account = self.login_account.as_ref().map(|limit| (limit, account));
        self.take([pair, account.filter(|_| !known)], 1).await
    }

    async fn take<const N: usize>(
        &self,
        wished: [Option<(&Limit, SubjectKey)>; N],
        cost: u64,
    ) -> Result<()> {
        let mut wished = wished.into_iter().flatten();
        let take = |(limit, subject)| Take { limit, subject, cost };
        let Some(first) = wished.next().map(take) else { return Ok(()) };
        let mut takes = [first; N];
        let mut count = 1;
        for (place, wish) in takes[1..].iter_mut().zip(wished) {
            *place = take(wish);
            count += 1;
        }
        let outcome = self.limiter.take(&takes[..count], true).await;
        if outcome.allowed {
            return Ok(());
        }
        let detail = "Too many requests. Wait as long as Retry-After says.";
        Err(Problem::new(Code::RateLimited, detail).limited_by(outcome.limits))
    }
}

fn limit_of(name: &str, limit: u64, window_ms: u64, mode: Mode) -> Option<Limit> {
    (limit > 0).then(|| Limit {
        name: name.to_owned(),
        limit,
        window_ms,
        subject: Subject::Key,
        mode,
        when_down: WhenDown::LocalShare,
        automatic: true,
    })
}

/// An app has two names at the most; each is counted for itself where it is not looked up.
fn app_subject(name: &str) -> SubjectKey {
    match name.parse() {
        Ok(id) => SubjectKey::App(id),
        Err(_) => SubjectKey::named(&["app", name]),
    }
}

fn client(address: Option<IpAddr>) -> SubjectKey {
    address.map_or_else(|| SubjectKey::named(&["nowhere"]), SubjectKey::address)
}

impl std::fmt::Debug for Guards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guards")
    }
}
