//! Retention: payloads and remembered answers are erased when their time is over, in small steps.

use store::{Store, StoreError};

/// Steps of one kind in one turn; the next turn goes on.
const MAX_STEPS: usize = 200;

/// # Errors
/// When the database fails.
pub async fn erase(store: Store, payload_retention_ms: u64) -> Result<(), StoreError> {
    for _ in 0..MAX_STEPS {
        if !store.erase_expired_payloads().await? {
            break;
        }
    }
    let mut from = None;
    for _ in 0..MAX_STEPS {
        from = store.erase_old_payloads(from, payload_retention_ms).await?;
        if from.is_none() {
            break;
        }
    }
    for _ in 0..MAX_STEPS {
        if !store.delete_expired_answers().await? {
            break;
        }
    }
    Ok(())
}
