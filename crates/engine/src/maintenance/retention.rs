//! What has an end of its own: payloads whose message says so, remembered answers, and what was
//! counted of keys are erased when their time is over, in small steps. What goes by age is
//! housekeeping's.

use store::{Store, StoreError};

/// Steps of one kind in one turn; the next turn goes on.
const MAX_STEPS: usize = 200;
/// Whoever follows the changes of keys looks every 250 ms, and begins anew after an hour away.
const KEY_CHANGES_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// The history of breakers.
const BREAKER_CHANGES_KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

/// # Errors
/// When the database fails.
pub async fn erase(store: Store, key_usage_ms: u64) -> Result<(), StoreError> {
    for _ in 0..MAX_STEPS {
        if !store.erase_expired_payloads().await? {
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
    while store.prune_breaker_changes(now.minus_ms(BREAKER_CHANGES_KEPT_MS)).await? {}
    store.prune_key_usage(now.minus_ms(key_usage_ms)).await?;
    Ok(())
}
