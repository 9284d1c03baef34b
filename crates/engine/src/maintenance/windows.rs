//! Windows: their starts and ends are announced, and their rows moved to the next occurrence.
//! What they hold does not depend on it.

use store::{Store, StoreError};

/// Looks in one turn; the next turn goes on.
const MAX_LOOKS: usize = 100;

/// # Errors
/// When the database fails.
pub async fn advance(store: Store) -> Result<(), StoreError> {
    for _ in 0..MAX_LOOKS {
        if store.advance_windows().await? == 0 {
            break;
        }
    }
    Ok(())
}
