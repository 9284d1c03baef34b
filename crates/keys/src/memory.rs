//! What this node holds of keys: checked credentials by lookup, unknown lookups, and the filter
//! over all living ones.
//!
//! The key of everything here is the lookup under the newest pepper, never the token. A reading
//! enters only when nothing that it is made of changed since it began ([`Changes`]).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use model::KeyId;
use quick_cache::sync::Cache;

use crate::changes::{Changed, Changes, Mark};
use crate::entry::Entry;
use crate::filter::Filter;

/// Credentials held; about one kibibyte each.
pub(crate) const MAX_ENTRIES: usize = 262_144;
/// Unknown lookups held.
const MAX_ABSENT: usize = 65_536;
/// Credentials that are held under another lookup than their row's.
const MAX_ALIASES: usize = 65_536;

pub(crate) type Lookup = [u8; 32];

pub(crate) struct Memory {
    entries: Cache<Lookup, Arc<Entry>>,
    absent: Cache<Lookup, ()>,
    /// Imports are found by other ways than their row's lookup, and held under the token's.
    aliases: Mutex<HashMap<KeyId, Vec<Lookup>>>,
    pub changes: Changes,
    filters: RwLock<Filters>,
}

#[derive(Default)]
struct Filters {
    /// None: not loaded yet.
    current: Option<Arc<Filter>>,
    /// The next one while it is being filled: what is added meanwhile goes into both.
    next: Option<Arc<Filter>>,
}

impl Memory {
    pub fn new() -> Self {
        Self {
            entries: Cache::new(MAX_ENTRIES),
            absent: Cache::new(MAX_ABSENT),
            aliases: Mutex::default(),
            changes: Changes::default(),
            filters: RwLock::default(),
        }
    }

    pub fn get(&self, lookup: &Lookup) -> Option<Arc<Entry>> {
        self.entries.get(lookup)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_full(&self) -> bool {
        self.len() >= MAX_ENTRIES
    }

    pub fn is_absent(&self, lookup: &Lookup) -> bool {
        self.absent.get(lookup).is_some()
    }

    /// False when something changed since the mark: read again.
    pub fn note_absent(&self, lookup: Lookup, since: Mark) -> bool {
        self.changes.unless(since, |_| true, || self.absent.insert(lookup, ()))
    }

    /// Holds a reading. False when something that it is made of changed since the mark.
    pub fn hold(&self, lookup: Lookup, entry: &Arc<Entry>, since: Mark) -> bool {
        let touches = |changed: &Changed| changed.touches(&entry.key);
        self.changes.unless(since, touches, || self.put(lookup, entry.clone()))
    }

    /// Holds a reading that nobody asked for, unless there is one: that is as new.
    pub fn warm(&self, lookup: Lookup, entry: &Arc<Entry>, since: Mark) {
        let touches = |changed: &Changed| changed.touches(&entry.key);
        self.changes.unless(since, touches, || {
            if self.entries.peek(&lookup).is_none() {
                self.put(lookup, entry.clone());
            }
        });
    }

    /// Holds a reading under the token's lookup, which is not the one of its row.
    pub fn hold_alias(&self, lookup: Lookup, entry: &Arc<Entry>, since: Mark) -> bool {
        let touches = |changed: &Changed| changed.touches(&entry.key);
        self.changes.unless(since, touches, || {
            if self.add_alias(entry.key.id, lookup) {
                self.put(lookup, entry.clone());
            }
        })
    }

    /// Holds what was just read by whoever applies changes, one after the other.
    pub fn put(&self, lookup: Lookup, entry: Arc<Entry>) {
        if let Some(before) = self.entries.peek(&lookup) {
            entry.inherit(&before);
        }
        self.absent.remove(&lookup);
        self.entries.insert(lookup, entry);
    }

    pub fn remove(&self, lookup: &Lookup) {
        self.entries.remove(lookup);
    }

    fn add_alias(&self, key: KeyId, lookup: Lookup) -> bool {
        let mut aliases = self.aliases.lock().unwrap_or_else(PoisonError::into_inner);
        if aliases.len() >= MAX_ALIASES {
            return false;
        }
        let of_key = aliases.entry(key).or_default();
        if !of_key.contains(&lookup) {
            of_key.push(lookup);
        }
        true
    }

    /// What was held under other lookups is asked for again.
    pub fn drop_aliases(&self, key: KeyId) {
        let mut aliases = self.aliases.lock().unwrap_or_else(PoisonError::into_inner);
        for lookup in aliases.remove(&key).unwrap_or_default() {
            self.entries.remove(&lookup);
        }
    }

    pub fn drop_keys(&self, keys: &HashSet<KeyId>) {
        self.entries.retain(|_, entry| !keys.contains(&entry.key.id));
    }

    /// The entries that a change touches.
    pub fn touched(&self, changed: &[Changed]) -> Vec<(Lookup, Arc<Entry>)> {
        let touches = |entry: &Entry| changed.iter().any(|changed| changed.touches(&entry.key));
        self.entries.iter().filter(|(_, entry)| touches(entry)).collect()
    }

    pub fn forget_absent(&self) {
        self.absent.clear();
    }

    /// Everything: what is held may be older than the change log reaches.
    pub fn clear(&self) {
        self.entries.clear();
        self.absent.clear();
        self.aliases.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A key that lives, or may.
    pub fn add_living(&self, lookup: &Lookup) {
        let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        for filter in filters.current.iter().chain(&filters.next) {
            filter.add(lookup);
        }
        self.absent.remove(lookup);
    }

    /// None while it is not known.
    pub fn may_live(&self, lookup: &Lookup) -> Option<bool> {
        let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        filters.current.as_ref().map(|filter| filter.may_contain(lookup))
    }

    pub fn is_filter_full(&self) -> bool {
        let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        filters.next.is_none() && filters.current.as_ref().is_some_and(|filter| filter.is_full())
    }

    /// Begins a new filter. What lives has to be added before [`Memory::finish_filter`].
    pub fn begin_filter(&self, keys: usize) {
        let mut filters = self.filters.write().unwrap_or_else(PoisonError::into_inner);
        filters.next = Some(Arc::new(Filter::for_keys(keys)));
    }

    pub fn finish_filter(&self) {
        let mut filters = self.filters.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = filters.next.take() {
            filters.current = Some(next);
        }
    }

    pub fn abandon_filter(&self) {
        self.filters.write().unwrap_or_else(PoisonError::into_inner).next = None;
    }
}
