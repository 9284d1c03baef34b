//! Routes: what publishing and delivering need of an app's endpoints, kept in memory.
//!
//! Every batch asks the database for the versions of the apps it touches, in its own
//! transaction, and uses a cached route only if the version is still the same. A change made by
//! any process is therefore seen by the very next message.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::breaker::{Breaker, Thresholds};
use model::endpoint::Endpoint;
use model::signature::Signer;
use model::window::{Held, Scope, Window};
use model::{AppId, Clock, EndpointId, Timestamp};
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
    /// When maintenance windows hold it.
    pub windows: Held,
    /// None when it never opened.
    pub breaker: Option<Breaker>,
    pub thresholds: Arc<Thresholds>,
    /// What piled up during a hold is being delivered: nothing overtakes it.
    pub drains: bool,
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
    /// When the first of its windows ends: then it is seen what drains, and when the next one is.
    windows_until: Timestamp,
    /// Sorted by endpoint id.
    pub routes: Vec<Arc<Route>>,
}

impl AppRoutes {
    pub fn route(&self, endpoint: &EndpointId) -> Option<&Arc<Route>> {
        let at = self.routes.binary_search_by_key(endpoint, |route| route.endpoint.id).ok()?;
        self.routes.get(at)
    }

    fn is_outlived(&self, clock: &Clock) -> bool {
        self.windows_until != Timestamp::NEVER && self.windows_until <= clock.now()
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

const VERSION_OF_APP: &str = "select id, uid, \
    version + (select version from instance_version where name = 'routes') as version, \
    throttle_rate from app where id = $1";

impl Store {
    /// An endpoint as delivering sees it now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn route_in_app(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<Option<Arc<Route>>> {
        let version: Option<AppVersion> = on!(self.db().reader(), c => {
            sqlx::query_as(VERSION_OF_APP).bind(app.as_str()).fetch_optional(c).await
        })?;
        let Some(version) = version else { return Ok(None) };
        Ok(self.app_routes(&version).await?.route(&endpoint).cloned())
    }

    /// The routes of an app as of `version` or later, read unless they are cached.
    pub(crate) async fn app_routes(&self, app: &AppVersion) -> Result<Arc<AppRoutes>> {
        let app_id: AppId = rows::id(&app.id)?;
        let cached = self.0.routes.apps.get(&app_id);
        let is_current = |cached: &Arc<AppRoutes>| {
            cached.version == app.version && !cached.is_outlived(&self.0.clock)
        };
        if let Some(cached) = cached.filter(is_current) {
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
        let windows = Windows::new(self.windows_of_routes(app_id).await?, self.now());
        let mut windows_until = windows.of_all.next_end(windows.now);
        let mut breakers = self.breakers_of_routes(app_id).await?;
        let mut routes = Vec::with_capacity(endpoints.len());
        for row in endpoints {
            let endpoint = self.endpoint_of(row)?;
            let secrets = live.remove(endpoint.id.as_str()).unwrap_or_default();
            let rates = [endpoint.throttle_rate, app_rate];
            let throttle_rate = rates.into_iter().flatten().min();
            let held = windows.of(&endpoint.id);
            windows_until = windows_until.min(held.next_end(windows.now));
            routes.push(Arc::new(Route {
                breaker: breakers.breaker(&endpoint.id),
                thresholds: breakers.thresholds(&endpoint.id),
                drains: breakers.drains(&endpoint.id),
                endpoint,
                secrets,
                throttle_rate,
                windows: held,
                revision,
            }));
        }
        let version = app.version;
        Ok(AppRoutes { app_id, throttle_rate: app_rate, version, windows_until, routes })
    }
}

/// What may hold the endpoints of an app.
struct Windows {
    windows: Vec<Window>,
    now: Timestamp,
    /// By the windows that hold every endpoint.
    of_all: Held,
}

impl Windows {
    fn new(windows: Vec<Window>, now: Timestamp) -> Self {
        let of_all = windows.iter().filter(|window| !is_of_some(window));
        let of_all = Held::merge(of_all, now);
        Self { windows, now, of_all }
    }

    fn of(&self, endpoint: &EndpointId) -> Held {
        let holds = |window: &&Window| window.scope.holds(endpoint);
        if !self.windows.iter().any(|window| is_of_some(window) && holds(&window)) {
            return self.of_all.clone();
        }
        Held::merge(self.windows.iter().filter(holds), self.now)
    }
}

const fn is_of_some(window: &Window) -> bool {
    matches!(window.scope, Scope::Endpoints(..))
}
