//! The bell of the change log: it says "keys may have changed", never what.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::Store;
use crate::db::Either;
use crate::key_changes::CHANNEL;

/// Between two tries to hear PostgreSQL.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Rings at once for changes of this process, and on PostgreSQL soon for those of others. A
/// ring can be lost: whoever follows looks every 250 ms anyway.
#[derive(Debug)]
pub struct KeyBell {
    rings: watch::Receiver<u64>,
    listening: Option<AbortHandle>,
}

impl KeyBell {
    /// Returns when it rang since the last time. Cancel-safe.
    pub async fn rung(&mut self) {
        if self.rings.changed().await.is_err() {
            // The store is gone: nothing will change any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for KeyBell {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

impl Store {
    /// On PostgreSQL it takes a connection of its own for as long as it is kept.
    #[must_use]
    pub fn key_bell(&self) -> KeyBell {
        let rings = self.0.key_rings.subscribe();
        let listening = match self.db() {
            Either::Sqlite(_) => None,
            Either::Postgres(_) => {
                let listening = listen(self.0.url.clone(), self.0.key_rings.clone());
                Some(tokio::spawn(listening).abort_handle())
            }
        };
        KeyBell { rings, listening }
    }
}

async fn listen(url: String, rings: watch::Sender<u64>) {
    loop {
        if let Err(error) = hear(&url, &rings).await {
            tracing::warn!(%error, "not hearing of changed keys; they are polled for");
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn hear(url: &str, rings: &watch::Sender<u64>) -> sqlx::Result<()> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    loop {
        listener.recv().await?;
        rings.send_modify(|rings| *rings += 1);
    }
}
