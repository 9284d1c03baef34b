//! Routes: what publishing and delivering need of an app's endpoints, kept in memory.
//!
//! Every batch asks the database for the versions of the apps it touches, in its own
//! transaction, and uses a cached route only if the version is still the same. A change made by
//! any process is therefore seen by the very next message.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::endpoint::Endpoint;
use model::signature::Signer;
use model::{AppId, EndpointId, Timestamp};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::db::on;
use crate::{Result, Store, endpoints, rows, secrets};

/// Endpoints kept in memory at the most, over all apps.
const MAX_ROUTES: u64 = 100_000;
const EXPECTED_APPS: usize = 10_000;

/// An endpoint as delivering needs it.
#[derive(Debug)]
pub struct Route {
    pub endpoint: Endpoint,
    /// Newest first.
    pub secrets: Vec<LiveSecret>,
    /// Deliveries per second at the most: its own rate or its app's, whichever is lower.
    pub throttle_rate: Option<u32>,
    /// Differs whenever something of this endpoint may have changed: a key for caches.
    pub revision: u64,
}

#[derive(Debug)]
pub struct LiveSecret {
    pub signer: Signer,
    pub expires_at: Option<Timestamp>,
}

impl Route {
    /// The signers that are alive, newest first.
    pub fn signers(&self, now: Timestamp) -> impl Iterator<Item = &Signer> {
        let alive = move |secret: &&LiveSecret| secret.expires_at.is_none_or(|end| end > now);
        self.secrets.iter().filter(alive).map(|secret| &secret.signer)
    }
}

/// The routes of one app at one version.
#[derive(Debug)]
pub(crate) struct AppRoutes {
    pub app_id: AppId,
    /// Of the app as a whole; its endpoints share it.
    pub throttle_rate: Option<u32>,
    version: i64,
    /// Sorted by endpoint id.
    pub routes: Vec<Arc<Route>>,
}

impl AppRoutes {
    pub fn route(&self, endpoint: &EndpointId) -> Option<&Arc<Route>> {
        let at = self.routes.binary_search_by_key(endpoint, |route| route.endpoint.id).ok()?;
        self.routes.get(at)
    }
}

/// A row of the version check.
#[derive(sqlx::FromRow)]
pub(crate) struct AppVersion {
    pub id: String,
    pub uid: Option<String>,
    pub version: i64,
    pub throttle_rate: Option<i32>,
}

#[derive(Clone)]
struct ByRoutes;

impl Weighter<AppId, Arc<AppRoutes>> for ByRoutes {
    fn weight(&self, _: &AppId, app: &Arc<AppRoutes>) -> u64 {
        1 + u64::try_from(app.routes.len()).unwrap_or(u64::MAX)
    }
}

pub(crate) struct RouteCache {
    apps: Cache<AppId, Arc<AppRoutes>, ByRoutes>,
    revision: AtomicU64,
}

impl RouteCache {
    pub fn new() -> Self {
        Self {
            apps: Cache::with_weighter(EXPECTED_APPS, MAX_ROUTES, ByRoutes),
            revision: AtomicU64::new(1),
        }
    }
}

impl Store {
    /// The routes of an app as of `version` or later, read unless they are cached.
    pub(crate) async fn app_routes(&self, app: &AppVersion) -> Result<Arc<AppRoutes>> {
        let app_id: AppId = rows::id(&app.id)?;
        let cached = self.0.routes.apps.get(&app_id);
        if let Some(cached) = cached.filter(|cached| cached.version == app.version) {
            return Ok(cached);
        }
        let loaded = Arc::new(self.load_routes(app_id, app).await?);
        self.0.routes.apps.insert(app_id, loaded.clone());
        Ok(loaded)
    }

    async fn load_routes(&self, app_id: AppId, app: &AppVersion) -> Result<AppRoutes> {
        let endpoints: Vec<endpoints::Row> = on!(self.db().reader(), c => {
            sqlx::query_as(endpoints::ALL_OF_APP).bind(app_id.as_str()).fetch_all(c).await
        })?;
        let secrets: Vec<secrets::Row> = on!(self.db().reader(), c => {
            sqlx::query_as(secrets::LIVE_OF_APP)
                .bind(app_id.as_str()).bind(self.now().0).fetch_all(c).await
        })?;
        let revision = self.0.routes.revision.fetch_add(1, Ordering::Relaxed);
        let app_rate = app.throttle_rate.map(rows::count);
        let mut live: HashMap<String, Vec<LiveSecret>> = HashMap::new();
        for row in secrets {
            let signer = Signer::new(&self.secret_of(&row)?);
            let secret = LiveSecret { signer, expires_at: rows::moment(row.expires_at) };
            live.entry(row.endpoint_id).or_default().push(secret);
        }
        let mut routes = Vec::with_capacity(endpoints.len());
        for row in endpoints {
            let endpoint = self.endpoint_of(row)?;
            let secrets = live.remove(endpoint.id.as_str()).unwrap_or_default();
            let rates = [endpoint.throttle_rate, app_rate];
            let throttle_rate = rates.into_iter().flatten().min();
            routes.push(Arc::new(Route { endpoint, secrets, throttle_rate, revision }));
        }
        Ok(AppRoutes { app_id, throttle_rate: app_rate, version: app.version, routes })
    }
}
