//! Keyspaces, keys and secrets as their makers hand them in. The store believes any tag.

use model::key::{Key, KeyOwner, KeySecret, Keyspace, Tagged};
use model::{AppId, KeyId, KeySecretId, KeyspaceId, Timestamp};
use store::{KeyInsertion, Rotation};
use testkit::TestStore;
use testkit::test_store::by;

/// A tag that tells rows apart.
pub fn tagged<T>(db: &TestStore, value: T) -> Tagged<T> {
    Tagged { value, tag: bytes(db), pepper_version: 3 }
}

pub fn bytes(db: &TestStore) -> [u8; 32] {
    let mut bytes = [0; 32];
    db.entropy.fill(&mut bytes);
    bytes
}

pub fn new_keyspace(db: &TestStore) -> Keyspace {
    let now = db.clock.now();
    Keyspace {
        id: KeyspaceId::new(now, &db.entropy),
        uid: None,
        name: "Contacts".to_owned(),
        prefix: "crm".to_owned(),
        environments: vec!["live".to_owned(), "test".to_owned()],
        permissions: Default::default(),
        roles: Default::default(),
        limits: Vec::new(),
        ip_allow: Default::default(),
        max_lifetime_ms: None,
        idle_expiry_ms: None,
        rotation: None,
        when_stale: Default::default(),
        metadata: Default::default(),
        created_at: now,
        updated_at: now,
        version: 1,
    }
}

pub fn new_key(db: &TestStore, keyspace: KeyspaceId, app: Option<AppId>) -> Key {
    let now = db.clock.now();
    Key {
        id: KeyId::new(now, &db.entropy),
        keyspace_id: keyspace,
        app_id: app,
        name: "importer".to_owned(),
        owner: None,
        environment: "live".to_owned(),
        scopes: vec!["read:contacts".to_owned()],
        roles: Vec::new(),
        ip_allow: Default::default(),
        limits: Vec::new(),
        expires_at: None,
        idle_expiry_ms: None,
        rotation: None,
        metadata: Default::default(),
        tags: Vec::new(),
        enabled: true,
        revoked: None,
        created_at: now,
        updated_at: now,
        version: 1,
    }
}

pub fn new_secret(db: &TestStore, key: KeyId) -> KeySecret {
    let now = db.clock.now();
    KeySecret {
        id: KeySecretId::new(now, &db.entropy),
        key_id: key,
        lookup: Some(bytes(db)),
        hash: "$2b$10$hash".to_owned(),
        pepper_version: 2,
        start: "crm_live_AbCd".to_owned(),
        created_at: now,
        ends_at: None,
        last_used_at: None,
    }
}

pub fn new_owner(keyspace: KeyspaceId, app: Option<AppId>, name: &str) -> KeyOwner {
    KeyOwner {
        keyspace_id: keyspace,
        app_id: app,
        name: name.to_owned(),
        enabled: true,
        limits: Vec::new(),
        version: 1,
    }
}

pub async fn keyspace(db: &TestStore) -> KeyspaceId {
    keyspace_with(db, |_| ()).await
}

pub async fn keyspace_with(db: &TestStore, change: impl FnOnce(&mut Keyspace)) -> KeyspaceId {
    let mut keyspace = new_keyspace(db);
    change(&mut keyspace);
    let keyspace = tagged(db, keyspace);
    assert!(db.insert_keyspace(&keyspace, &by()).await.unwrap(), "the uid is taken");
    keyspace.value.id
}

/// An app and a keyspace.
pub async fn app_and_keyspace(db: &TestStore) -> (AppId, KeyspaceId) {
    (db.app().await, keyspace(db).await)
}

pub async fn key(db: &TestStore, keyspace: KeyspaceId, app: Option<AppId>) -> (Key, KeySecret) {
    key_with(db, keyspace, app, |_| ()).await
}

pub async fn key_with(
    db: &TestStore,
    keyspace: KeyspaceId,
    app: Option<AppId>,
    change: impl FnOnce(&mut Key),
) -> (Key, KeySecret) {
    let mut key = new_key(db, keyspace, app);
    change(&mut key);
    let (key, secret) = (tagged(db, key.clone()), tagged(db, new_secret(db, key.id)));
    let inserted = db.insert_key(&key, &secret, &by()).await.unwrap();
    assert_eq!(inserted, KeyInsertion::Inserted);
    (key.value, secret.value)
}

/// The stored key changed, with its version raised.
pub async fn changed(db: &TestStore, key: &Key, change: impl FnOnce(&mut Key)) -> Tagged<Key> {
    let stored = db.key_in_app(key.app_id, key.id.as_str()).await.unwrap().unwrap();
    let mut key = stored.key.value;
    change(&mut key);
    key.version += 1;
    tagged(db, key)
}

/// A rotation whose first old secret gets a grace and whose others end at once.
pub async fn rotation(db: &TestStore, key: &Key, grace_ms: u64) -> Rotation {
    let now = db.clock.now();
    let living = db.secrets_of(key.id).await.unwrap();
    let living = living.into_iter().filter(|secret| is_living(&secret.value, now));
    let ends_at = |secret: &KeySecret| match secret.ends_at {
        None => now.plus_ms(grace_ms),
        Some(_) => now,
    };
    let ended = living.map(|secret| {
        let ends_at = Some(ends_at(&secret.value));
        tagged(db, KeySecret { ends_at, ..secret.value })
    });
    Rotation {
        key: changed(db, key, |_| ()).await,
        ended: ended.collect(),
        new: tagged(db, new_secret(db, key.id)),
    }
}

pub fn is_living(secret: &KeySecret, now: Timestamp) -> bool {
    secret.ends_at.is_none_or(|ends_at| ends_at > now)
}
