//! Assembly: from a configuration to the parts, for `serve` and for the small commands.

use api::{ApiOptions, AppState};
use engine::http::{HttpOptions, Resolver, Roots};
use engine::{Engine, EngineOptions};
use model::target::TargetPolicy;
use model::token::Pepper;
use model::vault::Vault;
use model::{Clock, Entropy};
use store::{Store, StoreOptions};

use crate::config::{Config, HeaderStyle};
use crate::secrets::{self, InstanceSecrets};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

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
    #[error("{0}")]
    Other(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The open store and the pepper of its tokens.
pub struct Opened {
    pub store: Store,
    pub pepper: Pepper,
    pub entropy: Entropy,
}

/// Opens the database with the instance's secrets. The schema is not touched.
pub async fn open(config: &Config) -> Result<Opened, StartError> {
    let entropy = Entropy::system()?;
    let InstanceSecrets { vault_key, token_pepper } =
        secrets::load_or_create(&config.server.data_dir, &entropy)?;
    let store = Store::open(StoreOptions {
        url: config.database_url(),
        read_connections: config.database.read_connections,
        vault: Vault::new(&vault_key, entropy.clone())?,
        clock: Clock::system(),
        entropy: entropy.clone(),
        max_in_flight: u32_of(config.delivery.max_in_flight),
        endpoint_max_in_flight: u32_of(config.delivery.endpoint_max_in_flight),
        retry_schedule: config.delivery.retry_schedule.clone(),
        delivers: config.server.roles.worker,
    })
    .await?;
    Ok(Opened { store, pepper: Pepper::new(&token_pepper), entropy })
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
            payload_retention_ms: u64::from(config.publish.payload_retention_days) * DAY_MS,
        },
    )?)
}

pub fn app_state(config: &Config, store: Store, pepper: Pepper) -> Result<AppState, StartError> {
    let options = ApiOptions {
        max_payload_bytes: config.publish.max_payload_bytes,
        targets: policy(config)?,
    };
    Ok(AppState::new(store, pepper, options))
}

fn policy(config: &Config) -> Result<TargetPolicy, StartError> {
    let allow = config.delivery.targets_allow.clone();
    TargetPolicy::new(allow).map_err(|error| StartError::Other(error.to_string()))
}

fn u32_of(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
