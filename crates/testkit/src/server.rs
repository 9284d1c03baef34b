//! A whole server on port 0: store, engine and API as in production, over a database of the
//! test's own and a clock that the test moves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use api::serve::{ServeOptions, serve};
use engine::http::{HttpOptions, Resolver, Roots};
use engine::{Engine, EngineOptions, HeaderStyle};
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use keys::Keys;
use model::target::TargetPolicy;
use model::vault::{KEY_LEN, Vault};
use model::{Clock, Entropy, Timestamp};
use serde_json::Value;
use store::{Store, StoreOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access;
use crate::databases::{FromDatabase, TestDatabase};

/// 2026-11-24T08:00:00Z: where the clocks of tests begin.
pub const START: Timestamp = Timestamp(1_795_507_200_000);
pub const TOKEN: &str = "dbl_test_token_of_the_test_server";
const SEED: u64 = 42;
/// How long a test waits for an event before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestServer {
    pub store: Store,
    pub keys: Keys,
    pub clock: Clock,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    parts: JoinSet<()>,
    /// Goes after the server.
    _database: Option<TestDatabase>,
}

impl FromDatabase for TestServer {
    async fn from_database(database: TestDatabase) -> Self {
        let options = TestOptions::new(database.url());
        Self::over(database, options).await
    }
}

/// What may differ from production.
#[derive(Debug)]
pub struct TestOptions {
    pub url: String,
    pub clock: Clock,
    pub resolver: Resolver,
    pub timeout_ms: u64,
    /// Networks that may be called although private.
    pub targets_allow: &'static str,
    pub max_in_flight: u32,
    /// Networks whose proxies are believed.
    pub trusted_proxies: &'static [&'static str],
    /// Of all randomness, the node's name included.
    pub seed: u64,
}

impl TestOptions {
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            clock: Clock::manual(START),
            resolver: Resolver::fixed(|_| Vec::new()),
            timeout_ms: 5_000,
            targets_allow: "127.0.0.0/8",
            max_in_flight: 256,
            trusted_proxies: &[],
            seed: SEED,
        }
    }
}

/// An answer with its body as JSON, or null when it is none.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub bytes: Vec<u8>,
    pub json: Value,
}

impl TestServer {
    /// Starts over a database that goes with the server.
    pub async fn over(database: TestDatabase, options: TestOptions) -> Self {
        let server = Self::start(options).await;
        Self { _database: Some(database), ..server }
    }

    pub async fn start(options: TestOptions) -> Self {
        let entropy = Entropy::seeded(options.seed);
        let policy = || options.targets_allow.parse::<TargetPolicy>().expect("an allow list");
        let store = Store::open(StoreOptions {
            url: options.url,
            read_connections: 4,
            vault: Vault::new(&[7; KEY_LEN], entropy.clone()).expect("a vault"),
            clock: options.clock.clone(),
            entropy,
            max_in_flight: options.max_in_flight,
            endpoint_max_in_flight: 64,
            retry_schedule: model::retry::RetrySchedule::default(),
            delivers: true,
            breaker: Default::default(),
            retention: Default::default(),
            secret_policy: None,
        })
        .await
        .expect("the database opens");
        store.migrate().await.expect("migrations");
        store.join().await.expect("a node");
        let engine = Engine::new(
            store.clone(),
            EngineOptions {
                http: HttpOptions {
                    policy: policy(),
                    connect_timeout_ms: options.timeout_ms.min(5_000),
                    timeout_ms: options.timeout_ms,
                    resolver: options.resolver,
                    roots: Roots::default(),
                    http2: true,
                },
                header_style: HeaderStyle::Webhook,
                user_agent: "Doorbell/test".to_owned(),
                housekeeping: engine::Housekeeping {
                    quiet_hours: Default::default(),
                    archive_dir: None,
                    reindex: false,
                    key_usage_ms: 90 * 24 * 3_600_000,
                },
                failure_budget: Default::default(),
            },
        )
        .expect("an engine");
        let trusted = options.trusted_proxies.iter().map(|text| text.parse().expect("a network"));
        let state = access::state(&store, |parts| {
            parts.options.targets = policy();
            parts.access.trusted_proxies = trusted.collect();
        });
        let state = state.await;
        let keys = state.keys.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopping) = watch::channel(false);
        let mut parts = JoinSet::new();
        parts.spawn(engine.run(stopping.clone()));
        parts.spawn(keys.clone().run_schedule(stopping.clone()));
        let serve_options = ServeOptions {
            max_connections: 1_000,
            header_timeout_ms: 5_000,
            tls: None,
            drain_ms: 1_000,
        };
        parts.spawn(serve(listener, api::router::router(state), serve_options, stopping));
        Self { store, keys, clock: options.clock, address, stop, parts, _database: None }
    }

    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until this process has settled `n` deliveries since it started.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn until_settled(&self, n: u64) {
        let mut settled = self.store.wake().settled();
        let waited = tokio::time::timeout(PATIENCE, settled.wait_for(|count| *count >= n)).await;
        assert!(waited.is_ok(), "{n} settlements did not happen in {PATIENCE:?}");
    }

    /// Stops as SIGTERM does.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.parts.join_next().await.is_some() {}
        self.keys.close().await;
        self.store.close().await;
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[], Vec::new()).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.call(Method::POST, path, &[], body.into()).await
    }

    /// Any request with the test's token, on a connection of its own.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Reply {
        let authorization = format!("Bearer {TOKEN}");
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend(headers);
        self.call_bare(method, path, &all, body).await
    }

    /// Any request with no other headers than these, on a connection of its own.
    pub async fn call_bare(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Reply {
        let stream = TcpStream::connect(self.address).await.expect("the server accepts");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        let driver = tokio::spawn(connection);
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(bytes::Bytes::from(body))).expect("a request");
        let (parts, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let bytes = body.collect().await.expect("a whole answer").to_bytes().to_vec();
        driver.abort();
        let headers = parts.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Reply {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            json: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            bytes,
        }
    }
}
