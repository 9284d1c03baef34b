//! Lease rescue: deliveries whose process died or hung are queued again.

use store::{Store, StoreError};

/// # Errors
/// When the database fails.
pub async fn rescue(store: Store) -> Result<(), StoreError> {
    store.rescue().await.map(drop)
}
