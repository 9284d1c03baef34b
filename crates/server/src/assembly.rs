//! Assembly: from a configuration to the parts, for `serve` and for the small commands.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use api::access::{AccessLimits, AccessOptions, LoginLimits, service};
use api::auth::oidc::{Fetch, OidcOptions};
use api::{ApiOptions, ApiParts, AppState};
use engine::http::{HttpClient, HttpOptions, Resolver, Roots};
use engine::{Engine, EngineOptions};
use keys::limiter::{Limiter, LimiterOptions};
use keys::passwords::PasswordCost;
use keys::{Keys, KeysOptions};
use model::audit::Actor;
use model::failing::FailureBudget;
use model::key::pepper::Peppers;
use model::retention::Retention;
use model::target::TargetPolicy;
use model::vault::Vault;
use model::{Clock, Entropy};
use store::{Store, StoreOptions};

use crate::config::{Config, HeaderStyle};
use crate::secrets::{self, InstanceSecrets};

/// No login waits longer for the identity provider.
const PROVIDER_TIMEOUT_MS: u64 = 10_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What can keep a process from starting; each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Secrets(#[from] secrets::SecretsError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Engine(#[from] engine::EngineError),
    #[error(transparent)]
    Vault(#[from] model::vault::VaultError),
    #[error(transparent)]
    Peppers(#[from] model::key::pepper::BadPeppers),
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    #[error(transparent)]
    Redis(#[from] keys::limiter::BadRedisUrl),
    #[error(transparent)]
    Access(#[from] api::access::AccessError),
    #[error(transparent)]
    Passwords(#[from] keys::passwords::PasswordError),
    #[error("{0}")]
    Other(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The open store and the peppers of its keys.
pub struct Opened {
    pub store: Store,
    pub peppers: Arc<Peppers>,
    pub entropy: Entropy,
    /// How many processes of this instance live, this one included.
    pub nodes: Arc<AtomicU32>,
}

/// Whom the audit log names for what a command does.
pub fn operator() -> Actor {
    Actor::system("command line")
}

/// Opens the database with the instance's secrets. The schema is not touched.
pub async fn open(config: &Config) -> Result<Opened, StartError> {
    let entropy = Entropy::system()?;
    let InstanceSecrets { root_key, vault_keys, pepper, older_peppers } =
        secrets::load_or_create(&config.server.data_dir, &entropy)?;
    let store = Store::open(StoreOptions {
        url: config.database_url(),
        read_connections: config.database.read_connections,
        vault: Vault::with_versions(&root_key, &vault_keys, entropy.clone())?,
        clock: Clock::system(),
        entropy: entropy.clone(),
        max_in_flight: u32_of(config.delivery.max_in_flight),
        endpoint_max_in_flight: u32_of(config.delivery.endpoint_max_in_flight),
        retry_schedule: config.delivery.retry_schedule.clone(),
        delivers: config.server.roles.worker,
        breaker: config.breaker.thresholds(),
        retention: retention(config),
        secret_policy: config.delivery.secret_policy(),
    })
    .await?;
    let peppers = Arc::new(Peppers::new(pepper, older_peppers)?);
    Ok(Opened { store, peppers, entropy, nodes: Arc::new(AtomicU32::new(1)) })
}

fn retention(config: &Config) -> Retention {
    let keeping = &config.housekeeping;
    // 0: for ever.
    let days = |days: u32| (days > 0).then_some(days);
    Retention {
        payload_days: Some(config.publish.payload_retention_days),
        attempt_days: days(keeping.attempt_retention_days),
        message_days: days(keeping.message_retention_days),
        audit_days: days(keeping.audit_retention_days),
    }
}

/// Brings the schema up to date, or checks that it is.
pub async fn prepare(store: &Store, migrate: bool) -> Result<(), StartError> {
    if migrate {
        store.migrate().await?;
    } else {
        store.check_schema().await?;
    }
    Ok(store.check_instance().await?)
}

pub fn engine(config: &Config, store: Store) -> Result<Engine, StartError> {
    let delivery = &config.delivery;
    Ok(Engine::new(
        store,
        EngineOptions {
            http: HttpOptions {
                policy: policy(config)?,
                connect_timeout_ms: delivery.connect_timeout_ms,
                timeout_ms: delivery.timeout_ms,
                resolver: Resolver::system()
                    .map_err(|error| StartError::Other(error.to_string()))?,
                roots: Roots::default(),
                http2: true,
            },
            header_style: match delivery.header_style {
                HeaderStyle::Webhook => engine::HeaderStyle::Webhook,
                HeaderStyle::Svix => engine::HeaderStyle::Svix,
                HeaderStyle::Both => engine::HeaderStyle::Both,
            },
            user_agent: delivery.user_agent.clone(),
            housekeeping: engine::Housekeeping {
                quiet_hours: config.housekeeping.quiet_hours.clone(),
                archive_dir: config.housekeeping.archive_dir.clone(),
                reindex: config.housekeeping.reindex,
                key_usage_ms: u64::from(config.keys.usage_retention_days) * DAY_MS,
            },
            failure_budget: FailureBudget {
                lasts_ms: u64::from(delivery.auto_disable_days) * DAY_MS,
                failures: delivery.auto_disable_failures,
                apart_ms: u64::from(delivery.auto_disable_hours_apart) * HOUR_MS,
            },
        },
    )?)
}

/// The keys, with the built-in keyspace in place. The schema must be up to date.
pub async fn keys(config: &Config, opened: &Opened) -> Result<Keys, StartError> {
    let limiter = Limiter::new(LimiterOptions {
        redis_url: config.redis.url.as_ref().map(|url| url.as_str().to_owned()),
        redis_ca: config.redis_ca().map_err(StartError::Other)?,
        nodes: opened.nodes.clone(),
        ..LimiterOptions::new(opened.store.clock().clone())
    })?;
    let options = KeysOptions {
        hash_cost: config.keys.hash_cost,
        hash_check: config.keys.hash_check,
        ..KeysOptions::new(opened.store.clone(), opened.peppers.clone(), limiter)
    };
    let keys = Keys::start(options).await?;
    service::prepare(&keys, &operator()).await?;
    Ok(keys)
}

pub fn app_state(config: &Config, store: Store, keys: Keys) -> Result<AppState, StartError> {
    let options = ApiOptions {
        max_payload_bytes: config.publish.max_payload_bytes,
        targets: policy(config)?,
    };
    let auth = &config.auth;
    let access = AccessOptions {
        public_url: config.server.public_url.clone(),
        trusted_proxies: auth.trusted_proxies.clone(),
        limits: AccessLimits {
            requests_per_token: auth.requests_per_token,
            requests_per_address: auth.requests_per_address,
            refusals_per_address: auth.refusals_per_address,
            messages_per_app: auth.messages_per_app,
        },
        login: LoginLimits::default(),
        password_cost: PasswordCost::default(),
        oidc: oidc(config, store.clock())?,
    };
    Ok(AppState::new(ApiParts { store, keys, access, options })?)
}

/// The identity provider, if there is one. It is the operator's own choice, so that it may be at
/// any address; what it may be asked without TLS is a setting of its own.
fn oidc(config: &Config, clock: &Clock) -> Result<Option<OidcOptions>, StartError> {
    let oidc = &config.oidc;
    let (Some(issuer), Some(client_id)) = (&oidc.issuer, &oidc.client_id) else { return Ok(None) };
    let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok());
    let http = HttpOptions {
        policy: TargetPolicy::new(anywhere.collect()).map_err(other)?,
        connect_timeout_ms: PROVIDER_TIMEOUT_MS,
        timeout_ms: PROVIDER_TIMEOUT_MS,
        resolver: Resolver::system().map_err(other)?,
        roots: Roots::default(),
        http2: true,
    };
    let client = Arc::new(HttpClient::new(http, clock.clone()).map_err(other)?);
    let fetch = Fetch::new(move |request| {
        let client = client.clone();
        async move { client.fetch(request).await.map_err(|failure| failure.message) }
    });
    Ok(Some(OidcOptions {
        issuer: issuer.clone(),
        client_id: client_id.clone(),
        client_secret: oidc.client_secret.as_ref().map(|secret| secret.expose().to_owned()),
        redirect_url: oidc.redirect_url(config.server.public_url.as_deref()),
        email_domains: oidc.email_domains.clone(),
        link_by_email: oidc.link_by_email,
        default_role: oidc.default_role,
        plain_http: oidc.plain_http,
        fetch,
    }))
}

fn other(error: impl ToString) -> StartError {
    StartError::Other(error.to_string())
}

fn policy(config: &Config) -> Result<TargetPolicy, StartError> {
    let allow = config.delivery.targets_allow.clone();
    TargetPolicy::new(allow).map_err(|error| StartError::Other(error.to_string()))
}

fn u32_of(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
