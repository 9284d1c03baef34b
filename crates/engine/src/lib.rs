//! What happens without a request: due deliveries are sent, leases rescued, tasks done.
//!
//! [`Engine::new`] takes options, [`Engine::run`] works until it is told to stop. It never sees
//! the API: they meet in the store.

mod deliver;
mod dispatcher;
pub mod http;
pub mod maintenance;
mod request;

use std::sync::Arc;

use ::http::HeaderValue;
use store::Store;
use tokio::sync::watch;

use deliver::Deliverer;
use http::{HttpClient, HttpOptions};
pub use request::HeaderStyle;
use request::Requests;

#[derive(Debug)]
pub struct EngineOptions {
    pub http: HttpOptions,
    pub header_style: HeaderStyle,
    pub user_agent: String,
    pub retention: Retention,
}

/// How long what grows is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Payloads whose message does not say.
    pub payloads_ms: u64,
    /// What was counted of keys, by the minute.
    pub key_usage_ms: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the user agent {0:?} has characters that no header may carry")]
    UserAgent(String),
    #[error("the outgoing client: {0}")]
    Http(String),
}

#[derive(Debug)]
pub struct Engine {
    deliverer: Arc<Deliverer>,
    retention: Retention,
}

impl Engine {
    /// # Errors
    /// When an option cannot be used.
    pub fn new(store: Store, options: EngineOptions) -> Result<Self, EngineError> {
        let user_agent = HeaderValue::from_str(&options.user_agent)
            .map_err(|_| EngineError::UserAgent(options.user_agent.clone()))?;
        let timeout_ms = options.http.timeout_ms;
        let http = HttpClient::new(options.http, store.clock().clone())
            .map_err(|error| EngineError::Http(error.to_string()))?;
        let requests = Requests::new(options.header_style, user_agent);
        let deliverer = Arc::new(Deliverer { store, http, requests, timeout_ms });
        Ok(Self { deliverer, retention: options.retention })
    }

    /// Works until `shutdown` turns true, then starts nothing more and returns when the
    /// deliveries under way are settled. Dropped, it cuts them off; their leases are freed.
    pub async fn run(self, shutdown: watch::Receiver<bool>) {
        let Some(fresh) = self.deliverer.store.take_fresh() else {
            tracing::error!("another engine runs on this store");
            return;
        };
        tokio::join!(
            dispatcher::start(self.deliverer.clone(), fresh, shutdown.clone()),
            dispatcher::claim_due(self.deliverer.store.clone(), shutdown.clone()),
            maintenance::run(self.deliverer, self.retention, shutdown),
        );
    }
}

/// Returns when the process is to stop.
pub(crate) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = shutdown.wait_for(|shutdown| *shutdown).await;
}
