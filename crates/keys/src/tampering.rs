//! Rows that this instance did not write: said loudly, but not once for each request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use model::Timestamp;
use store::Store;

use crate::entry::Tampered;

/// The same row is reported again after this time.
const REPEAT_MS: u64 = 60 * 60 * 1_000;
/// Rows remembered. A stranger who may write to the database could make any number of them.
const MAX_REMEMBERED: usize = 10_000;

pub(crate) struct Tampering {
    store: Store,
    reported: Mutex<HashMap<String, Timestamp>>,
}

impl Tampering {
    pub fn new(store: Store) -> Self {
        Self { store, reported: Mutex::default() }
    }

    /// Writes to the log and, in the background, to the audit log.
    pub fn report(&self, tampered: Tampered, now: Timestamp) {
        if !self.is_news(&tampered.id, now) {
            return;
        }
        let Tampered { row, id } = tampered;
        tracing::error!(row, id, "a row of keys does not bear this instance's tag: it is refused");
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.record_tampering(row, &id).await {
                tracing::error!(%error, row, id, "the audit log does not have it");
            }
        });
    }

    fn is_news(&self, id: &str, now: Timestamp) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.get(id).is_some_and(|at| now.since_ms(*at) < REPEAT_MS) {
            return false;
        }
        if reported.len() >= MAX_REMEMBERED {
            reported.retain(|_, at| now.since_ms(*at) < REPEAT_MS);
        }
        if reported.len() < MAX_REMEMBERED {
            reported.insert(id.to_owned(), now);
        }
        true
    }
}
