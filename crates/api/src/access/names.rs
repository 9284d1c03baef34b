//! Which app a path means, for callers of some apps only. Such a caller's request goes on with
//! the id that was admitted: the name may mean another app a moment later.

use model::{AppId, Timestamp};
use quick_cache::sync::Cache;
use store::AppRef;

use crate::AppState;
use crate::problem::Result;

/// Names remembered at the most. Only what is found is remembered: an app can be named as soon
/// as it exists.
const MAX_REMEMBERED: usize = 10_000;
/// How long a look-up is believed.
const FRESH_MS: u64 = 500;
/// Longer names mean nothing.
const MAX_NAME_LEN: usize = 256;

#[derive(Debug)]
pub(super) struct AppNames(Cache<String, (Timestamp, AppId)>);

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
            return Ok(Some(app));
        }
        let Some(app) = state.store.app(&AppRef::new(name)).await? else { return Ok(None) };
        self.0.insert(name.to_owned(), (now, app.id));
        Ok(Some(app.id))
    }
}
