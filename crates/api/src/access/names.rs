//! Which app a path means, for callers of some apps only. Such a caller's request goes on with
//! the id that was admitted: the name may mean another app a moment later.

use model::{AppId, Timestamp};
use quick_cache::sync::Cache;
use store::AppRef;

use crate::AppState;
use crate::problem::Result;

/// Names remembered at the most.
const MAX_REMEMBERED: usize = 10_000;
/// How long a look-up is believed, one that found nothing too: guessing at names costs nothing.
const FRESH_MS: u64 = 500;
/// Longer names mean nothing.
const MAX_NAME_LEN: usize = 256;

#[derive(Debug)]
pub(super) struct AppNames(Cache<String, (Timestamp, Option<AppId>)>);

impl AppNames {
    pub fn new() -> Self {
        Self(Cache::new(MAX_REMEMBERED))
    }

    /// The app with this id or uid.
    pub async fn resolve(&self, state: &AppState, name: &str) -> Result<Option<AppId>> {
        if name.len() > MAX_NAME_LEN || name.contains('\0') {
            return Ok(None);
        }
        let now = state.store.clock().now();
        if let Some((at, app)) = self.0.get(name)
            && at <= now
            && now.since_ms(at) < FRESH_MS
        {
            return Ok(app);
        }
        let app = state.store.app(&AppRef::new(name)).await?.map(|app| app.id);
        self.0.insert(name.to_owned(), (now, app));
        Ok(app)
    }
}
