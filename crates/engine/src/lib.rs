//! What happens without a request: due deliveries are sent, leases rescued, tasks done.
//!
//! [`Engine::new`] takes options, [`Engine::run`] works until it is told to stop. It never sees
//! the API: they meet in the store.

mod breaker;
mod deliver;
mod dispatcher;
pub mod http;
pub mod maintenance;
mod outcomes;
mod outgoing;
mod request;

use std::sync::Arc;

use ::http::HeaderValue;
use model::failing::FailureBudget;
use store::Store;
use tokio::sync::watch;

pub use deliver::{Deliverer, DelivererOptions};
use http::{HttpClient, HttpOptions};
pub use maintenance::housekeeping::Housekeeping;
pub use outcomes::FAILING_AFTER;
pub use outgoing::Outgoing;
pub use request::HeaderStyle;

#[derive(Debug)]
pub struct EngineOptions {
    pub http: HttpOptions,
    pub header_style: HeaderStyle,
    pub user_agent: String,
    pub housekeeping: Housekeeping,
    pub failure_budget: FailureBudget,
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
    housekeeping: Housekeeping,
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
        let of_deliverer = DelivererOptions {
            header_style: options.header_style,
            user_agent,
            failure_budget: options.failure_budget,
            timeout_ms,
        };
        let deliverer = Arc::new(Deliverer::new(store, http, of_deliverer));
        Ok(Self { deliverer, housekeeping: options.housekeeping })
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
            maintenance::run(self.deliverer.clone(), self.housekeeping, shutdown),
        );
        if let Err(error) = self.deliverer.outcomes.flush(&self.deliverer.store).await {
            tracing::warn!(%error, "the last outcomes are not noted; failures come again");
        }
    }
}

/// Returns when the process is to stop.
pub(crate) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = shutdown.wait_for(|shutdown| *shutdown).await;
}
