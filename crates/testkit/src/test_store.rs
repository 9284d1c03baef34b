//! A store as one process opens it, with short ways to what most tests begin with.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::app::App;
use model::attempt::{Attempt, AttemptDetail, ErrorKind};
use model::audit::Actor;
use model::delivery::Trigger;
use model::endpoint::Endpoint;
use model::retry::RetrySchedule;
use model::signature::Secret;
use model::vault::{KEY_LEN, Vault};
use model::{AppId, AttemptId, Clock, EndpointId, Entropy, Timestamp};
use store::{AppRef, Lease, NewMessage, Published, Store, StoreOptions};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::databases::{FromDatabase, TestDatabase};
use crate::server::{PATIENCE, START};

pub const MAX_IN_FLIGHT: u32 = 16;
pub const ENDPOINT_MAX_IN_FLIGHT: u32 = 8;

/// An opened, migrated, joined store over a database of its own, with a clock that only the
/// test moves.
#[derive(Debug)]
pub struct TestStore {
    store: Store,
    pub clock: Clock,
    pub entropy: Entropy,
    /// Goes after the store.
    pub database: TestDatabase,
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl FromDatabase for TestStore {
    async fn from_database(database: TestDatabase) -> Self {
        let options = options(database.url());
        let (clock, entropy) = (options.clock.clone(), options.entropy.clone());
        let store = open(options).await;
        store.join().await.expect("a node");
        Self { store, clock, entropy, database }
    }
}

/// How the stores of tests are opened. Each has randomness, and so a node, of its own.
#[must_use]
pub fn options(url: &str) -> StoreOptions {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let entropy = Entropy::seeded(SEED.fetch_add(1, Ordering::Relaxed));
    StoreOptions {
        url: url.to_owned(),
        read_connections: 2,
        vault: Vault::new(&[7; KEY_LEN], entropy.clone()).expect("a vault"),
        clock: Clock::manual(START),
        entropy,
        max_in_flight: MAX_IN_FLIGHT,
        endpoint_max_in_flight: ENDPOINT_MAX_IN_FLIGHT,
        retry_schedule: RetrySchedule::default(),
        delivers: true,
        breaker: Default::default(),
        retention: Default::default(),
        secret_policy: None,
    }
}

async fn open(options: StoreOptions) -> Store {
    let store = Store::open(options).await.expect("the database opens");
    store.migrate().await.expect("migrations");
    store
}

impl TestStore {
    /// The same database as another process opens it, with the same clock. It has not joined.
    pub async fn reopen(&self) -> Store {
        self.reopen_with(|_| ()).await
    }

    /// As [`TestStore::reopen`], with other options.
    pub async fn reopen_with(&self, change: impl FnOnce(&mut StoreOptions)) -> Store {
        let mut options = options(self.database.url());
        options.clock = self.clock.clone();
        change(&mut options);
        open(options).await
    }

    /// What is handed over to whoever delivers.
    ///
    /// # Panics
    /// When it was taken before.
    #[must_use]
    pub fn started(&self) -> Started {
        Started::of(&self.store)
    }

    pub fn advance_ms(&self, ms: u64) -> Timestamp {
        self.clock.advance_to(self.clock.now().plus_ms(ms));
        self.clock.now()
    }

    /// A new app that is not yet stored.
    #[must_use]
    pub fn new_app(&self, name: &str) -> App {
        let now = self.clock.now();
        App {
            id: AppId::new(now, &self.entropy),
            uid: None,
            name: name.to_owned(),
            throttle_rate: None,
            metadata: Default::default(),
            created_at: now,
            updated_at: now,
        }
    }

    pub async fn app(&self) -> AppId {
        self.app_with(|_| ()).await
    }

    pub async fn app_with(&self, change: impl FnOnce(&mut App)) -> AppId {
        let mut app = self.new_app("Open House");
        change(&mut app);
        assert!(self.insert_app(&app, &by()).await.expect("a database"), "the uid is taken");
        app.id
    }

    /// A new endpoint that is not yet stored.
    #[must_use]
    pub fn new_endpoint(&self, app: AppId) -> Endpoint {
        let now = self.clock.now();
        Endpoint {
            id: EndpointId::new(now, &self.entropy),
            app_id: app,
            uid: None,
            url: "https://receiver.example/hooks".to_owned(),
            description: String::new(),
            filter: Default::default(),
            throttle_rate: None,
            max_in_flight: None,
            metadata: Default::default(),
            headers: Default::default(),
            disabled: None,
            paused_at: None,
            retry_schedule: None,
            body_signature: None,
            created_at: now,
            updated_at: now,
        }
    }

    pub async fn endpoint(&self, app: AppId) -> EndpointId {
        self.endpoint_with(app, |_| ()).await
    }

    pub async fn endpoint_with(
        &self,
        app: AppId,
        change: impl FnOnce(&mut Endpoint),
    ) -> EndpointId {
        let mut endpoint = self.new_endpoint(app);
        change(&mut endpoint);
        let secret = Secret::generate_hmac(&self.entropy);
        let inserted = self.insert_endpoint(&endpoint, &secret, &by()).await.expect("a database");
        assert!(inserted, "the uid is taken");
        endpoint.id
    }

    /// Changes a stored endpoint.
    pub async fn change(
        &self,
        app: AppId,
        endpoint: EndpointId,
        change: impl FnOnce(&mut Endpoint),
    ) {
        let found = self.endpoint_in_app(app, endpoint.as_str()).await.expect("a database");
        let mut endpoint = found.expect("the endpoint");
        change(&mut endpoint);
        assert!(
            self.update_endpoint(&endpoint, &by()).await.expect("a database"),
            "the uid is taken"
        );
    }

    /// Publishes `contact.created` with an empty object.
    pub async fn message(&self, app: AppId) -> Published {
        self.message_with(app, |_| ()).await
    }

    pub async fn message_with(
        &self,
        app: AppId,
        change: impl FnOnce(&mut NewMessage),
    ) -> Published {
        let mut message = new_message(app);
        change(&mut message);
        self.ingest(message).await.expect("a message")
    }
}

/// Whom the audit log names for what a test does.
#[must_use]
pub fn by() -> Actor {
    Actor::system("test")
}

#[must_use]
pub fn new_message(app: AppId) -> NewMessage {
    NewMessage {
        app: AppRef::from(app),
        event_type: "contact.created".to_owned(),
        event_id: None,
        payload: Bytes::from_static(b"{}"),
        content_type: None,
        channels: Vec::new(),
        tags: Vec::new(),
        deliver_at: None,
        payload_retention_ms: None,
        idempotency_key: None,
        only_endpoint: None,
    }
}

/// An attempt of this lease as a deliverer records it: answered with `status`, or not at all.
#[must_use]
pub fn attempt(lease: &Lease, at: Timestamp, status: Option<u16>) -> Attempt {
    let number = lease.attempts + 1;
    Attempt {
        id: AttemptId::new(&lease.delivery_id, number),
        app_id: lease.route.endpoint.app_id,
        endpoint_id: lease.route.endpoint.id,
        number,
        trigger: Trigger::Scheduled,
        at,
        duration_ms: 12,
        status_code: status,
        error: match status {
            Some(200..=299) => None,
            Some(_) => Some(ErrorKind::Status),
            None => Some(ErrorKind::Timeout),
        },
        response_body: b"a body".to_vec(),
        detail: AttemptDetail { url: lease.route.endpoint.url.clone(), ..Default::default() },
    }
}

/// The deliverer's end of a store.
#[derive(Debug)]
pub struct Started(UnboundedReceiver<Lease>);

impl Started {
    /// # Panics
    /// When it was taken before.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self(store.take_fresh().expect("the only taker"))
    }

    /// The next lease; it waits for one.
    ///
    /// # Panics
    /// When none comes.
    pub async fn next(&mut self) -> Lease {
        let next = tokio::time::timeout(PATIENCE, self.0.recv()).await;
        next.ok().flatten().expect("a lease")
    }

    /// What has been handed over by now.
    pub fn now(&mut self) -> Vec<Lease> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}
