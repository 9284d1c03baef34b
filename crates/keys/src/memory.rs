//! What this node holds of keys: checked credentials by lookup, unknown lookups, and the filter
//! over all living ones.
//!
//! The key of everything here is the lookup under the newest pepper, never the token. A reading
//! enters only when nothing that it is made of changed since it began ([`Changes`]).

use std::sync::{Arc, PoisonError, RwLock};

use model::KeyId;
use quick_cache::sync::Cache;

use crate::changes::{Changed, Changes, Mark, Touched};
use crate::entry::Entry;
use crate::filter::Filter;
use crate::held::Held;

/// Credentials held; about one kibibyte each.
pub(crate) const MAX_ENTRIES: usize = 262_144;
/// Unknown lookups held.
const MAX_ABSENT: usize = 65_536;

pub(crate) type Lookup = [u8; 32];

pub(crate) struct Memory {
    /// Under the token's lookup, which for imports is not the one of their row.
    held: Held,
    absent: Cache<Lookup, ()>,
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
            held: Held::new(MAX_ENTRIES),
            absent: Cache::new(MAX_ABSENT),
            changes: Changes::default(),
            filters: RwLock::default(),
        }
    }

    pub fn get(&self, lookup: &Lookup) -> Option<Arc<Entry>> {
        self.held.get(lookup)
    }

    pub fn len(&self) -> usize {
        self.held.len()
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
            if self.held.peek(&lookup).is_none() {
                self.put(lookup, entry.clone());
            }
        });
    }

    /// Holds what was just read by whoever applies changes, one after the other.
    pub fn put(&self, lookup: Lookup, entry: Arc<Entry>) {
        if let Some(before) = self.held.peek(&lookup) {
            entry.inherit(&before);
        }
        self.absent.remove(&lookup);
        self.held.insert(lookup, entry);
    }

    pub fn remove(&self, lookup: &Lookup) {
        self.held.remove(lookup);
    }

    /// Everything that is served of the key, whatever its rows say now.
    pub fn lookups_of(&self, key: &KeyId) -> Vec<Lookup> {
        self.held.of_key(key)
    }

    pub fn drop_key(&self, key: &KeyId) {
        self.lookups_of(key).iter().for_each(|lookup| self.remove(lookup));
    }

    /// The entries that a change of a keyspace or owner touches.
    pub fn touched(&self, touched: &Touched) -> Vec<(Lookup, Arc<Entry>)> {
        self.held.which(|entry| touched.touches(&entry.key))
    }

    pub fn forget_absent(&self) {
        self.absent.clear();
    }

    /// Everything: what is held may be older than the change log reaches, and so may be what is
    /// being read.
    pub fn clear(&self) {
        self.changes.forget_all();
        self.held.clear();
        self.absent.clear();
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
