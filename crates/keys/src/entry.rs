//! One credential as verification uses it: its row tags checked, its scopes and limits compiled.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::key::limit::{Limit, Subject};
use model::key::pepper::Peppers;
use model::key::scope::Granted;
use model::key::{Key, KeyOwner, KeySecret, Keyspace, Tagged};
use model::{KeyspaceId, Timestamp};
use store::Credential;

use crate::changes::OwnerId;
use crate::limiter::SubjectKey;

/// Keyspaces and owners that are shared by what is in memory, of each.
const MAX_SHARED: usize = 100_000;

/// All that is known of a secret, checked and compiled once.
#[derive(Debug)]
pub struct Entry {
    pub keyspace: Arc<Keyspace>,
    pub key: Arc<Key>,
    pub secret: KeySecret,
    pub owner: Option<Arc<KeyOwner>>,
    /// The key's scopes and those of its roles.
    pub granted: Granted,
    /// Its own limits, then those of its owner and keyspace that it has none of the same name for.
    pub limits: Vec<BoundLimit>,
    /// What the tag and the lookup of the secret were made with.
    pub(crate) tag_version: u32,
    /// When the rows were read, by the clock's own count.
    pub(crate) read_at: Duration,
    last_used_ms: AtomicI64,
    /// The password hash was compared once.
    pub(crate) is_hash_checked: AtomicBool,
    /// A newer hash is being made, or was.
    pub(crate) is_rehashed: AtomicBool,
}

/// A limit, and who is counted.
#[derive(Debug)]
pub struct BoundLimit {
    pub limit: Limit,
    pub subject: SubjectKey,
}

impl Entry {
    pub(crate) fn last_used_at(&self) -> Option<Timestamp> {
        let ms = self.last_used_ms.load(Ordering::Relaxed);
        (ms != i64::MIN).then_some(Timestamp(ms))
    }

    pub(crate) fn used(&self, at: Timestamp) {
        self.last_used_ms.fetch_max(at.0, Ordering::Relaxed);
    }

    /// What this process knows and the rows do not.
    pub(crate) fn inherit(&self, before: &Self) {
        self.last_used_ms.fetch_max(before.last_used_ms.load(Ordering::Relaxed), Ordering::Relaxed);
        if self.secret.hash == before.secret.hash {
            for (mine, theirs) in [
                (&self.is_hash_checked, &before.is_hash_checked),
                (&self.is_rehashed, &before.is_rehashed),
            ] {
                mine.store(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }

    /// The same credential under a changed keyspace or owner.
    pub(crate) fn renewed(
        &self,
        keyspace: Option<&Arc<Keyspace>>,
        owner: Option<&Option<Arc<KeyOwner>>>,
    ) -> Self {
        let rows = Rows {
            keyspace: keyspace.unwrap_or(&self.keyspace).clone(),
            key: self.key.clone(),
            secret: self.secret.clone(),
            owner: owner.unwrap_or(&self.owner).clone(),
            tag_version: self.tag_version,
            last_used_at: self.last_used_at(),
        };
        let entry = rows.compile(self.read_at);
        entry.inherit(self);
        entry
    }
}

/// The rows of a credential whose tags are right.
struct Rows {
    keyspace: Arc<Keyspace>,
    key: Arc<Key>,
    secret: KeySecret,
    owner: Option<Arc<KeyOwner>>,
    tag_version: u32,
    last_used_at: Option<Timestamp>,
}

impl Rows {
    fn compile(self, read_at: Duration) -> Entry {
        let Self { keyspace, key, secret, owner, tag_version, last_used_at } = self;
        let roles = key.roles.iter().filter_map(|role| keyspace.roles.get(role)).flatten();
        let granted = Granted::new(key.scopes.iter().chain(roles).map(String::as_str));
        let limits = limits(&keyspace, &key, owner.as_deref());
        Entry {
            granted,
            limits,
            keyspace,
            key,
            secret,
            owner,
            tag_version,
            read_at,
            last_used_ms: AtomicI64::new(last_used_at.map_or(i64::MIN, |at| at.0)),
            is_hash_checked: AtomicBool::new(false),
            is_rehashed: AtomicBool::new(false),
        }
    }
}

/// The nearest limit of a name counts. What an owner is given, all its keys share.
fn limits(keyspace: &Keyspace, key: &Key, owner: Option<&KeyOwner>) -> Vec<BoundLimit> {
    let own = key.limits.iter().map(|limit| (limit, limit.subject));
    let of_owner = owner.into_iter().flat_map(|owner| &owner.limits);
    let of_owner = of_owner.map(|limit| (limit, Subject::Owner));
    let of_keyspace = keyspace.limits.iter().map(|limit| (limit, limit.subject));
    let mut limits: Vec<BoundLimit> = Vec::new();
    for (limit, subject) in own.chain(of_owner).chain(of_keyspace) {
        if limits.iter().all(|nearer| nearer.limit.name != limit.name) {
            limits.push(BoundLimit { limit: limit.clone(), subject: counted(key, subject) });
        }
    }
    limits
}

/// A key without an owner is its own.
fn counted(key: &Key, subject: Subject) -> SubjectKey {
    match (subject, &key.owner) {
        (Subject::Owner, Some(owner)) => SubjectKey::owner(key.keyspace_id, key.app_id, owner),
        (Subject::Keyspace, _) => SubjectKey::Keyspace(key.keyspace_id),
        (Subject::Owner | Subject::Key, _) => SubjectKey::Key(key.id),
    }
}

/// Why a row is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Tampered(Tampered),
    /// It is under a pepper that this process does not know yet.
    Newer,
}

/// A row whose tag is not this instance's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tampered {
    /// Which row: the table and its id.
    pub row: &'static str,
    pub id: String,
}

/// Checks the tags of what was read. Keyspaces and owners, which many credentials share, are
/// checked when they are first seen, and held once.
pub(crate) struct Checker {
    peppers: Arc<Peppers>,
    keyspaces: Shared<KeyspaceId, Keyspace>,
    owners: Shared<OwnerId, KeyOwner>,
}

impl Checker {
    pub fn new(peppers: Arc<Peppers>) -> Self {
        Self { peppers, keyspaces: Shared::new(), owners: Shared::new() }
    }

    pub fn entry(&self, credential: Credential, read_at: Duration) -> Result<Entry, Refused> {
        let is_whole = credential.is_whole();
        let Credential { keyspace, key, secret, owner, last_used_at } = credential;
        if !is_whole || !self.peppers.check_key(&key) {
            return Err(self.refused(&key, "key", key.value.id.to_string()));
        }
        if !self.peppers.check_secret(&secret) {
            return Err(self.refused(&secret, "secret", secret.value.id.to_string()));
        }
        let rows = Rows {
            keyspace: self.keyspace(&keyspace)?,
            owner: owner.map(|owner| self.owner(&owner)).transpose()?,
            key: Arc::new(key.value),
            secret: secret.value,
            tag_version: secret.pepper_version,
            last_used_at,
        };
        Ok(rows.compile(read_at))
    }

    pub fn keyspace(&self, keyspace: &Tagged<Keyspace>) -> Result<Arc<Keyspace>, Refused> {
        let id = keyspace.value.id;
        let checked = self.keyspaces.checked(id, keyspace, |row| self.peppers.check_keyspace(row));
        checked.ok_or_else(|| self.refused(keyspace, "keyspace", id.to_string()))
    }

    pub fn owner(&self, owner: &Tagged<KeyOwner>) -> Result<Arc<KeyOwner>, Refused> {
        let id = owner_id(&owner.value);
        let checked = self.owners.checked(id, owner, |row| self.peppers.check_owner(row));
        checked.ok_or_else(|| self.refused(owner, "owner", owner.value.name.clone()))
    }

    /// Why a row with a wrong tag is not believed.
    pub fn refused<T>(&self, row: &Tagged<T>, kind: &'static str, id: String) -> Refused {
        if row.pepper_version > self.peppers.version() {
            return Refused::Newer;
        }
        Refused::Tampered(Tampered { row: kind, id })
    }
}

fn owner_id(owner: &KeyOwner) -> OwnerId {
    OwnerId { keyspace: owner.keyspace_id, app: owner.app_id, name: owner.name.clone() }
}

/// Checked rows, one copy of each, with their tags.
struct Shared<K, V>(Mutex<HashMap<K, Checked<V>>>);

type Checked<V> = ([u8; 32], Arc<V>);

impl<K: Eq + Hash, V: PartialEq + Clone> Shared<K, V> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    fn checked(
        &self,
        id: K,
        row: &Tagged<V>,
        check: impl FnOnce(&Tagged<V>) -> bool,
    ) -> Option<Arc<V>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((tag, value)) = known.get(&id)
            && *tag == row.tag
            && **value == row.value
        {
            return Some(value.clone());
        }
        if !check(row) {
            return None;
        }
        if known.len() >= MAX_SHARED {
            known.clear();
        }
        let value = Arc::new(row.value.clone());
        known.insert(id, (row.tag, value.clone()));
        Some(value)
    }
}
