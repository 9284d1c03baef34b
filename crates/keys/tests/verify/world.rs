//! A store with keys over it, an app and a keyspace.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use keys::limiter::{Limiter, LimiterOptions};
use keys::{KeyAt, Keys, KeysOptions, KeyspaceFields, Minted, NewKey, Verdict, VerifyRequest};
use model::AppId;
use model::audit::Actor;
use model::key::decide::Code;
use model::key::pepper::Peppers;
use model::key::{Key, Keyspace, RevocationReason, token};
use store::Store;
use testkit::TestStore;
use testkit::databases::{FromDatabase, TestDatabase};

/// The cheapest that bcrypt takes.
const HASH_COST: u32 = 4;
/// How long a test waits for what happens by itself.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const MINUTE_MS: u64 = 60_000;
pub const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

pub struct World {
    pub keys: Keys,
    pub app: AppId,
    pub keyspace: Keyspace,
    pub db: TestStore,
}

impl Deref for World {
    type Target = Keys;

    fn deref(&self) -> &Keys {
        &self.keys
    }
}

impl FromDatabase for World {
    async fn from_database(database: TestDatabase) -> Self {
        let db = TestStore::from_database(database).await;
        let keys = start(&db, |_| ()).await;
        let app = db.app().await;
        let keyspace = keys.create_keyspace(fields(), &by()).await.unwrap();
        Self { keys, app, keyspace, db }
    }
}

pub fn fields() -> KeyspaceFields {
    KeyspaceFields {
        uid: Some("crm".to_owned()),
        name: "Contacts".to_owned(),
        prefix: "crm".to_owned(),
        environments: vec!["live".to_owned(), "test".to_owned()],
        roles: [("reader".to_owned(), vec!["read:*".to_owned()])].into(),
        ..KeyspaceFields::default()
    }
}

pub fn peppers() -> Arc<Peppers> {
    Arc::new(Peppers::new((1, [9; 32]), Vec::new()).unwrap())
}

pub fn options(store: &Store) -> KeysOptions {
    let limiter = Limiter::new(LimiterOptions::new(store.clock().clone())).unwrap();
    KeysOptions { hash_cost: HASH_COST, ..KeysOptions::new(store.clone(), peppers(), limiter) }
}

pub async fn start(store: &Store, change: impl FnOnce(&mut KeysOptions)) -> Keys {
    let mut options = options(store);
    change(&mut options);
    Keys::start(options).await.unwrap()
}

pub fn by() -> Actor {
    Actor::system("test")
}

/// A well-formed token that nobody has.
pub fn stranger(db: &TestStore) -> String {
    token::mint("crm", "live", &db.entropy)
}

/// Looks again until it is so.
pub async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let looking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it happens");
}

impl World {
    pub fn new_key(&self) -> NewKey {
        NewKey {
            keyspace: self.keyspace.id.to_string(),
            app: Some(self.app),
            name: "importer".to_owned(),
            scopes: vec!["read:contacts".to_owned()],
            ..NewKey::default()
        }
    }

    pub async fn key(&self) -> Minted {
        self.key_with(|_| ()).await
    }

    pub async fn key_with(&self, change: impl FnOnce(&mut NewKey)) -> Minted {
        let mut new = self.new_key();
        change(&mut new);
        self.create_key(new, &by()).await.unwrap()
    }

    pub async fn code(&self, token: &str) -> Code {
        self.verify(VerifyRequest::new(token)).await.code
    }

    pub async fn fresh(&self, token: &str) -> Verdict {
        self.verify(VerifyRequest { fresh: true, ..VerifyRequest::new(token) }).await
    }

    pub async fn revoke(&self, key: &Key) {
        let reason = RevocationReason::KeyCompromise;
        self.revoke_key(at(key), reason, None, None, &by()).await.unwrap();
    }

    /// Another process over the same database, as far as keys go.
    pub async fn another_node(&self, change: impl FnOnce(&mut KeysOptions)) -> Keys {
        let store = self.db.reopen().await;
        store.join().await.unwrap();
        start(&store, change).await
    }
}

pub fn at(key: &Key) -> KeyAt<'_> {
    KeyAt { app: key.app_id, id: key.id.as_str() }
}
