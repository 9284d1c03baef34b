//! Keys in this process: on a database of their own, or on the one that a server has left.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keys::limiter::{Limiter, LimiterOptions};
use keys::{Keys, KeysOptions};
use model::audit::Actor;
use model::key::pepper::Peppers;
use model::retry::RetrySchedule;
use model::vault::{KEY_LEN, Vault};
use model::{Clock, Entropy};
use serde::Deserialize;
use store::{Store, StoreOptions};

use super::HASH_COST;
use crate::Outcome;
use crate::server::ServerSettings;

const READ_CONNECTIONS: u32 = 4;
const SECRETS_FILE: &str = "instance-secrets.toml";

pub struct Local {
    pub keys: Keys,
    pub entropy: Entropy,
    store: Store,
}

/// What the rows of a database are sealed with.
struct Secrets {
    vault_key: [u8; KEY_LEN],
    pepper: [u8; KEY_LEN],
}

impl Local {
    pub async fn fresh(url: String) -> Outcome<Self> {
        Self::open(url, Secrets { vault_key: [7; KEY_LEN], pepper: [9; KEY_LEN] }).await
    }

    /// The server must have been stopped.
    pub async fn after(settings: &ServerSettings) -> Outcome<Self> {
        Self::open(settings.database_url.clone(), Secrets::read(&settings.data_dir)?).await
    }

    async fn open(url: String, secrets: Secrets) -> Outcome<Self> {
        let entropy = Entropy::system()?;
        let store = Store::open(StoreOptions {
            url,
            read_connections: READ_CONNECTIONS,
            vault: Vault::new(&secrets.vault_key, entropy.clone())?,
            clock: Clock::system(),
            entropy: entropy.clone(),
            max_in_flight: 1,
            endpoint_max_in_flight: 1,
            retry_schedule: RetrySchedule::default(),
            delivers: false,
            breaker: Default::default(),
            retention: Default::default(),
            secret_policy: None,
        })
        .await?;
        match start(&store, secrets.pepper).await {
            Ok(keys) => Ok(Self { keys, entropy, store }),
            Err(error) => {
                // The store's threads would keep the process from ending.
                store.close().await;
                Err(error)
            }
        }
    }

    pub async fn close(self) {
        self.keys.close().await;
        self.store.close().await;
    }
}

async fn start(store: &Store, pepper: [u8; KEY_LEN]) -> Outcome<Keys> {
    store.migrate().await?;
    store.check_instance().await?;
    store.join().await?;
    let peppers = Arc::new(Peppers::new((1, pepper), Vec::new())?);
    let limiter = Limiter::new(LimiterOptions::new(store.clock().clone()))?;
    let options =
        KeysOptions { hash_cost: HASH_COST, ..KeysOptions::new(store.clone(), peppers, limiter) };
    Ok(Keys::start(options).await?)
}

impl Secrets {
    fn read(data_dir: &Path) -> Outcome<Self> {
        #[derive(Deserialize)]
        struct Stored {
            vault_key: String,
            token_pepper: String,
        }
        let stored: Stored = toml::from_str(&fs::read_to_string(data_dir.join(SECRETS_FILE))?)?;
        let key = |text: &str| -> Outcome<[u8; KEY_LEN]> {
            STANDARD
                .decode(text)?
                .try_into()
                .map_err(|_| "an instance secret has a wrong length".into())
        };
        Ok(Self { vault_key: key(&stored.vault_key)?, pepper: key(&stored.token_pepper)? })
    }
}

/// Gives another node the secrets of this one's instance.
pub fn hand_secrets(from: &Path, to: &Path) -> Outcome<()> {
    // The mode is copied with it: only its owner may read it.
    fs::copy(from.join(SECRETS_FILE), to.join(SECRETS_FILE)).map(drop).map_err(Into::into)
}

pub fn by() -> Actor {
    Actor::system("bench")
}
