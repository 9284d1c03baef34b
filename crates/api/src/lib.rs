//! What happens on a request. The whole API is readable at a glance in [`router`]; each
//! endpoint is one file: request, answer, handler.
//!
//! This crate alone names the HTTP server framework. It never sees the engine: they meet in the
//! store.

pub mod apps;
pub mod attempts;
pub mod auth;
pub mod background_tasks;
pub mod deliveries;
pub mod docs;
pub mod endpoints;
pub mod event_types;
pub mod extract;
pub mod health;
pub mod idempotency;
pub mod messages;
pub mod page;
pub mod patch;
pub mod problem;
pub mod query;
mod retry_seconds;
pub mod router;
pub mod serve;
pub mod status;
pub mod trace;
pub mod wire;

use std::sync::Arc;

use model::target::TargetPolicy;
use model::token::Pepper;
use store::Store;

/// What the API needs to know besides the store.
#[derive(Debug)]
pub struct ApiOptions {
    pub max_payload_bytes: usize,
    /// Which URLs endpoints may have.
    pub targets: TargetPolicy,
}

#[derive(Clone, Debug)]
pub struct AppState {
    pub store: Store,
    pub tokens: Arc<auth::Tokens>,
    pub options: Arc<ApiOptions>,
}

impl AppState {
    #[must_use]
    pub fn new(store: Store, pepper: Pepper, options: ApiOptions) -> Self {
        Self { store, tokens: Arc::new(auth::Tokens::new(pepper)), options: Arc::new(options) }
    }
}
