//! Keeping memory true: changed rows are read again, one batch after the other.
//!
//! The order is what makes it safe: first the change is noted ([`Changes`]), so that no older
//! reading enters any more; then the rows are read; then they take the place of what was held.
//! When they cannot be read, what was held goes.
//!
//! [`Changes`]: crate::changes::Changes

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::KeyId;
use model::KeyspaceId;
use model::key::{KeyOwner, KeySecret, Keyspace, Tagged};
use store::{Credential, OwnerRef, StoreError};
use tokio::sync::Mutex;

use crate::changes::{Changed, OwnerId, Touched};
use crate::credentials::Credentials;
use crate::memory::Lookup;

/// Keys read again in one statement.
const KEYS_AT_ONCE: usize = 500;
/// Entries renewed before others get the thread.
const RENEWED_AT_ONCE: usize = 1_000;

pub(crate) struct Upkeep {
    /// Changes are applied one batch after the other: a later reading never loses to an earlier.
    alone: Mutex<()>,
}

/// What became of the rows that many entries share.
#[derive(Default)]
struct Renewal {
    keyspaces: HashMap<KeyspaceId, Option<Arc<Keyspace>>>,
    owners: HashMap<OwnerId, NewOwner>,
}

/// The row is not there; there and good; or there and not ours.
enum NewOwner {
    Is(Option<Arc<KeyOwner>>),
    Refused,
}

impl Upkeep {
    pub fn new() -> Self {
        Self { alone: Mutex::new(()) }
    }

    /// Brings what is held up to date with these changes.
    pub async fn apply(
        &self,
        credentials: &Credentials,
        changed: Vec<Changed>,
    ) -> store::Result<()> {
        let _alone = self.alone.lock().await;
        let memory = &credentials.memory;
        memory.changes.note(changed.iter().cloned());
        let done = reread(credentials, &changed).await;
        if done.is_err() {
            drop_touched(credentials, &changed);
        }
        done
    }
}

fn drop_touched(credentials: &Credentials, changed: &[Changed]) {
    let memory = &credentials.memory;
    for changed in changed {
        if let Changed::Key(key) = changed {
            memory.drop_key(key);
        }
    }
    let shared = Touched::by(changed);
    if !shared.is_empty() {
        memory.touched(&shared).iter().for_each(|(lookup, _)| memory.remove(lookup));
    }
}

async fn reread(credentials: &Credentials, changed: &[Changed]) -> store::Result<()> {
    let mut keys = Vec::new();
    let mut shared = Vec::new();
    let mut seen = HashSet::new();
    for changed in changed.iter().filter(|changed| seen.insert(*changed)) {
        match changed {
            Changed::Key(id) => keys.push(*id),
            other => shared.push(other.clone()),
        }
    }
    for keys in keys.chunks(KEYS_AT_ONCE) {
        reread_keys(credentials, keys).await?;
    }
    if shared.is_empty() {
        return Ok(());
    }
    if shared.iter().any(|changed| matches!(changed, Changed::Keyspace(_))) {
        credentials.load_kinds().await?;
    }
    let renewal = Renewal::read(credentials, &shared).await?;
    renew(credentials, &shared, &renewal).await;
    Ok(())
}

async fn reread_keys(credentials: &Credentials, keys: &[KeyId]) -> store::Result<()> {
    let found = match credentials.store.credentials_of_keys(keys).await {
        Err(StoreError::Corrupt { what, why }) => {
            return reread_each(credentials, keys, what, &why).await;
        }
        found => found?,
    };
    let memory = &credentials.memory;
    let put: HashSet<Lookup> =
        found.into_iter().filter_map(|credential| replace(credentials, credential)).collect();
    // Not only what its rows name is served of a key: imports have other lookups, and rows may
    // be gone or changed by a stranger.
    for lookup in keys.iter().flat_map(|key| memory.lookups_of(key)) {
        if !put.contains(&lookup) {
            memory.remove(&lookup);
        }
    }
    Ok(())
}

/// One row that nobody can read must not keep the others from being read.
async fn reread_each(
    credentials: &Credentials,
    keys: &[KeyId],
    what: &str,
    why: &str,
) -> store::Result<()> {
    if let [key] = keys {
        tracing::error!(%key, what, why, "a key is not readable: it is refused");
        credentials.memory.drop_key(key);
        return Ok(());
    }
    for key in keys {
        Box::pin(reread_keys(credentials, &[*key])).await?;
    }
    Ok(())
}

/// Puts a reading in the place of what was held, when it is good; answers where.
fn replace(credentials: &Credentials, credential: Credential) -> Option<Lookup> {
    let memory = &credentials.memory;
    let lookup = held_under(credentials, &credential.secret);
    let entry = credentials.check(credential).ok().flatten()?;
    let Some(lookup) = lookup else {
        // It is found by other ways, or not by this process; and what was unknown may be it.
        memory.forget_absent();
        return None;
    };
    memory.add_living(&lookup);
    memory.put(lookup, entry);
    Some(lookup)
}

/// The lookup under the newest pepper.
pub(crate) fn held_under(credentials: &Credentials, secret: &Tagged<KeySecret>) -> Option<Lookup> {
    let lookup = secret.value.lookup?;
    credentials.peppers.upgrade_lookup(secret.pepper_version, lookup)
}

impl Renewal {
    async fn read(credentials: &Credentials, changed: &[Changed]) -> store::Result<Self> {
        let mut renewal = Self::default();
        for changed in changed {
            match changed {
                Changed::Keyspace(id) => {
                    let keyspace = read_keyspace(credentials, *id).await?;
                    renewal.keyspaces.insert(*id, keyspace);
                }
                Changed::Owner(id) => {
                    let owner = read_owner(credentials, id).await?;
                    renewal.owners.insert(id.clone(), owner);
                }
                Changed::Key(_) => {}
            }
        }
        Ok(renewal)
    }
}

async fn read_keyspace(
    credentials: &Credentials,
    id: KeyspaceId,
) -> store::Result<Option<Arc<Keyspace>>> {
    let Some(row) = credentials.store.keyspace(id.as_str()).await? else { return Ok(None) };
    let checked = credentials.checker.keyspace(&row);
    Ok(checked.map_err(|refused| credentials.refuse(refused)).ok())
}

async fn read_owner(credentials: &Credentials, id: &OwnerId) -> store::Result<NewOwner> {
    let named = OwnerRef { keyspace: id.keyspace, app: id.app, name: &id.name };
    let Some(row) = credentials.store.key_owner(named).await? else {
        return Ok(NewOwner::Is(None));
    };
    Ok(match credentials.checker.owner(&row) {
        Ok(owner) => NewOwner::Is(Some(owner)),
        Err(refused) => {
            credentials.refuse(refused);
            NewOwner::Refused
        }
    })
}

/// Entries of a keyspace or owner get the new one; without a good one they go.
async fn renew(credentials: &Credentials, changed: &[Changed], renewal: &Renewal) {
    let memory = &credentials.memory;
    let touched = memory.touched(&Touched::by(changed));
    for (n, (lookup, entry)) in touched.into_iter().enumerate() {
        if n % RENEWED_AT_ONCE == RENEWED_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        let keyspace = renewal.keyspaces.get(&entry.key.keyspace_id);
        let owner = OwnerId::of(&entry.key).and_then(|id| renewal.owners.get(&id));
        match (keyspace, owner) {
            (Some(None), _) | (_, Some(NewOwner::Refused)) => memory.remove(&lookup),
            (keyspace, owner) => {
                let keyspace = keyspace.and_then(Option::as_ref);
                let owner = owner.and_then(|owner| match owner {
                    NewOwner::Is(owner) => Some(owner),
                    NewOwner::Refused => None,
                });
                memory.put(lookup, Arc::new(entry.renewed(keyspace, owner)));
            }
        }
    }
}
