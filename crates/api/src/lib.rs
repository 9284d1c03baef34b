//! What happens on a request. The whole API is readable at a glance in [`router`]; each
//! endpoint is one file: request, answer, handler.
//!
//! This crate alone names the HTTP server framework. It never sees the engine: they meet in the
//! store.

pub mod access;
pub mod apps;
pub mod attempts;
pub mod audit_log;
pub mod auth;
pub mod authorize;
pub mod background_tasks;
pub mod deliveries;
pub mod docs;
pub mod endpoints;
pub mod erasures;
pub mod event_types;
pub mod extract;
pub mod health;
pub mod housekeeping;
pub mod idempotency;
pub mod key_owners;
pub mod keys;
pub mod keyspaces;
pub mod maintenance_windows;
pub mod members;
pub mod messages;
pub mod operational_webhooks;
pub mod page;
pub mod patch;
pub mod problem;
pub mod query;
pub mod replays;
pub mod retention;
mod retry_seconds;
pub mod router;
pub mod serve;
pub mod signature;
pub mod status;
pub mod trace;
pub mod users;
pub mod wire;

use std::ops::Deref;
use std::sync::Arc;

use ::keys::Keys;
use model::target::TargetPolicy;
use store::Store;

use crate::access::{Access, AccessError, AccessOptions};
use crate::authorize::KnownSettings;
use crate::authorize::passport::Passports;

/// What the API needs to know besides the store.
#[derive(Debug)]
pub struct ApiOptions {
    pub max_payload_bytes: usize,
    /// Which URLs endpoints may have.
    pub targets: TargetPolicy,
}

/// What the API is made of.
pub struct ApiParts {
    pub store: Store,
    pub keys: Keys,
    pub access: AccessOptions,
    pub options: ApiOptions,
}

/// What every request works with. Each layer clones it, so it is one pointer.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

#[derive(Debug)]
pub struct Shared {
    pub store: Store,
    pub keys: Keys,
    pub access: Access,
    pub passports: Passports,
    pub(crate) proxies: KnownSettings,
    pub options: ApiOptions,
}

impl AppState {
    /// # Errors
    /// When the cryptography refuses what is configured.
    pub fn new(parts: ApiParts) -> Result<Self, AccessError> {
        let ApiParts { store, keys, access, options } = parts;
        let access = Access::new(&store, keys.limiter(), access)?;
        let passports = Passports::new(&store.derive("passports"))?;
        let proxies = KnownSettings::new();
        Ok(Self(Arc::new(Shared { store, keys, access, passports, proxies, options })))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
