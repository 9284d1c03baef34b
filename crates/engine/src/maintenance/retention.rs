//! Retention: payloads, remembered answers, and what was counted of keys are erased when their
//! time is over, in small steps.

use store::{Store, StoreError};

use crate::Retention;

/// Steps of one kind in one turn; the next turn goes on.
const MAX_STEPS: usize = 200;
/// Whoever follows the changes of keys looks every 250 ms, and begins anew after an hour away.
const KEY_CHANGES_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// # Errors
/// When the database fails.
pub async fn erase(store: Store, kept: Retention) -> Result<(), StoreError> {
    for _ in 0..MAX_STEPS {
        if !store.erase_expired_payloads().await? {
            break;
        }
    }
    let mut from = None;
    for _ in 0..MAX_STEPS {
        from = store.erase_old_payloads(from, kept.payloads_ms).await?;
        if from.is_none() {
            break;
        }
    }
    for _ in 0..MAX_STEPS {
        if !store.delete_expired_answers().await? {
            break;
        }
    }
    let now = store.clock().now();
    store.prune_key_changes(now.minus_ms(KEY_CHANGES_KEPT_MS)).await?;
    store.prune_key_usage(now.minus_ms(kept.key_usage_ms)).await?;
    Ok(())
}
