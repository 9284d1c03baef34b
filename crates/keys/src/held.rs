//! Credentials by lookup, and the lookups that are held of each key.
//!
//! A row that somebody changed behind our back names another lookup than the one it was read
//! under. So what is held of a key is found by the key, never by what its rows say now. An entry
//! goes in before its lookup is listed, and a lookup is unlisted only when its entry is gone:
//! whatever is served is listed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::KeyId;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter};

use crate::entry::Entry;
use crate::memory::Lookup;

type Entries = Cache<Lookup, Arc<Entry>, UnitWeighter, DefaultHashBuilder, Evictions>;

pub(crate) struct Held {
    entries: Entries,
    /// At most as many lookups as there are entries, and one for each thread that adds one.
    of_keys: Mutex<HashMap<KeyId, Vec<Lookup>>>,
}

/// Notes what had to go for a newer entry.
#[derive(Clone)]
struct Evictions;

impl Lifecycle<Lookup, Arc<Entry>> for Evictions {
    type RequestState = Vec<(Lookup, Arc<Entry>)>;

    fn on_evict(&self, evicted: &mut Self::RequestState, lookup: Lookup, entry: Arc<Entry>) {
        evicted.push((lookup, entry));
    }
}

impl Held {
    pub fn new(max: usize) -> Self {
        let hash = DefaultHashBuilder::default();
        let entries = Cache::with(max, max as u64, UnitWeighter, hash, Evictions);
        Self { entries, of_keys: Mutex::default() }
    }

    pub fn get(&self, lookup: &Lookup) -> Option<Arc<Entry>> {
        self.entries.get(lookup)
    }

    /// Without making it look used.
    pub fn peek(&self, lookup: &Lookup) -> Option<Arc<Entry>> {
        self.entries.peek(lookup)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn insert(&self, lookup: Lookup, entry: Arc<Entry>) {
        let key = entry.key.id;
        let before = self.entries.peek(&lookup).filter(|before| before.key.id != key);
        let mut gone = Vec::new();
        self.entries.insert_with_lifecycle(lookup, entry, &mut gone);
        self.list(key, lookup);
        gone.extend(before.map(|before| (lookup, before)));
        for (lookup, entry) in gone {
            self.unlist(&entry.key.id, &lookup);
        }
    }

    pub fn remove(&self, lookup: &Lookup) {
        if let Some((lookup, entry)) = self.entries.remove(lookup) {
            self.unlist(&entry.key.id, &lookup);
        }
    }

    pub fn of_key(&self, key: &KeyId) -> Vec<Lookup> {
        self.of_keys().get(key).cloned().unwrap_or_default()
    }

    pub fn which(&self, is_meant: impl Fn(&Entry) -> bool) -> Vec<(Lookup, Arc<Entry>)> {
        self.entries.iter().filter(|(_, entry)| is_meant(entry)).collect()
    }

    pub fn clear(&self) {
        self.entries.clear();
        self.of_keys().retain(|key, lookups| {
            lookups.retain(|lookup| self.holds(key, lookup));
            !lookups.is_empty()
        });
    }

    fn list(&self, key: KeyId, lookup: Lookup) {
        let mut of_keys = self.of_keys();
        let lookups = of_keys.entry(key).or_default();
        if !lookups.contains(&lookup) {
            lookups.push(lookup);
        }
    }

    /// Unless somebody put it in again meanwhile.
    fn unlist(&self, key: &KeyId, lookup: &Lookup) {
        let mut of_keys = self.of_keys();
        if self.holds(key, lookup) {
            return;
        }
        let Some(lookups) = of_keys.get_mut(key) else { return };
        lookups.retain(|listed| listed != lookup);
        if lookups.is_empty() {
            of_keys.remove(key);
        }
    }

    fn holds(&self, key: &KeyId, lookup: &Lookup) -> bool {
        self.entries.peek(lookup).is_some_and(|entry| entry.key.id == *key)
    }

    fn of_keys(&self) -> MutexGuard<'_, HashMap<KeyId, Vec<Lookup>>> {
        self.of_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
