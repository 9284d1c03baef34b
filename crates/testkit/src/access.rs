//! Keys and access as in production, but for the cost of password hashes.

use std::sync::Arc;

use api::access::service::{self, NewServiceToken};
use api::access::{AccessLimits, AccessOptions, LoginLimits};
use api::auth::oidc::Fetch;
use api::{ApiOptions, ApiParts, AppState};
use engine::http::{HttpClient, HttpOptions, Resolver, Roots};
use keys::limiter::{Limiter, LimiterOptions};
use keys::passwords::PasswordCost;
use keys::{Keys, KeysOptions};
use model::access::Role;
use model::key::pepper::Peppers;
use model::target::TargetPolicy;
use model::{AppId, Clock};
use store::Store;

use crate::server::TOKEN;
use crate::test_store::by;

/// The cheapest that bcrypt takes.
pub const HASH_COST: u32 = 4;
pub const PASSWORD_COST: PasswordCost = PasswordCost { memory_kib: 16, passes: 1 };
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

#[must_use]
pub fn peppers() -> Arc<Peppers> {
    Arc::new(Peppers::new((1, [9; 32]), Vec::new()).expect("peppers"))
}

/// The keys of a store, with the built-in keyspace and [`TOKEN`], which may do everything.
pub async fn keys(store: &Store) -> Keys {
    let limiter = limiter(store);
    let options =
        KeysOptions { hash_cost: HASH_COST, ..KeysOptions::new(store.clone(), peppers(), limiter) };
    let keys = Keys::start(options).await.expect("keys");
    service::prepare(&keys, &by()).await.expect("the built-in keyspace");
    let owner = NewServiceToken::with_role("test", Role::Owner);
    service::adopt(&keys, owner, TOKEN, &by()).await.expect("a token");
    keys
}

/// How the API under test asks a server that the test runs on this machine.
#[must_use]
pub fn fetch(clock: &Clock) -> Fetch {
    let options = HttpOptions {
        policy: "127.0.0.0/8".parse().expect("an allow list"),
        connect_timeout_ms: 5_000,
        timeout_ms: 5_000,
        resolver: Resolver::fixed(|_| Vec::new()),
        roots: Roots::default(),
        http2: true,
    };
    let client = Arc::new(HttpClient::new(options, clock.clone()).expect("a client"));
    Fetch::new(move |request| {
        let client = client.clone();
        async move { client.fetch(request).await.map_err(|failure| failure.message) }
    })
}

#[must_use]
pub fn limiter(store: &Store) -> Limiter {
    Limiter::new(LimiterOptions::new(store.clock().clone())).expect("a limiter")
}

/// What an API over these keys is made of; endpoints may be anywhere that is public.
#[must_use]
pub fn parts(keys: &Keys) -> ApiParts {
    let targets = TargetPolicy::new(Vec::new()).expect("a policy");
    ApiParts {
        store: keys.store().clone(),
        keys: keys.clone(),
        access: AccessOptions {
            public_url: Some("https://doorbell.example".to_owned()),
            trusted_proxies: Vec::new(),
            limits: AccessLimits::default(),
            login: LoginLimits::default(),
            password_cost: PASSWORD_COST,
            oidc: None,
        },
        options: ApiOptions { max_payload_bytes: MAX_PAYLOAD_BYTES, targets },
    }
}

/// The state of an API over a store, as it is in most tests.
pub async fn state(store: &Store, change: impl FnOnce(&mut ApiParts)) -> AppState {
    let mut parts = parts(&keys(store).await);
    change(&mut parts);
    AppState::new(parts).expect("an API")
}

/// A new service token with one role, on the instance or in one app.
pub async fn token(keys: &Keys, app: Option<AppId>, role: Role) -> String {
    let new = NewServiceToken { app, ..NewServiceToken::with_role(role.as_str(), role) };
    service::mint(keys, new, &by()).await.expect("a token").token
}
