//! Secrets by policy: what is due is announced and then renewed, and every rotation is said.

use store::{Store, StoreError};

/// Looks in one turn; the next turn goes on.
const MAX_LOOKS: usize = 100;

/// # Errors
/// When the database fails.
pub async fn renew(store: Store) -> Result<(), StoreError> {
    for _ in 0..MAX_LOOKS {
        if store.read_old_secrets().await? == 0 {
            break;
        }
    }
    for _ in 0..MAX_LOOKS {
        let done = store.advance_rotations().await?;
        if done.rotated > 0 {
            tracing::info!(rotated = done.rotated, "secrets renewed by policy");
        }
        if done.rotated + done.announced == 0 {
            break;
        }
    }
    for _ in 0..MAX_LOOKS {
        if store.announce_rotations().await? == 0 {
            break;
        }
    }
    Ok(())
}
