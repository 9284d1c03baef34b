//! What changed a moment ago: the reason why a revoked key cannot slip back into memory.
//!
//! Whoever reads a credential notes the mark before it reads, and puts it into memory only when
//! nothing that it consists of changed since: a change is written here before the rows are read
//! again for it. The check and the insertion happen under one lock.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use model::key::Key;
use model::{AppId, KeyId, KeyspaceId};

/// Changes remembered; a reading that is older than all of them is read again.
const MAX_REMEMBERED: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Changed {
    Keyspace(KeyspaceId),
    Key(KeyId),
    Owner(OwnerId),
}

/// What names an owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OwnerId {
    pub keyspace: KeyspaceId,
    pub app: Option<AppId>,
    pub name: String,
}

impl Changed {
    /// Whether a credential of this key is made of what changed.
    pub fn touches(&self, key: &Key) -> bool {
        match self {
            Self::Keyspace(id) => *id == key.keyspace_id,
            Self::Key(id) => *id == key.id,
            Self::Owner(owner) => owner.owns(key),
        }
    }
}

impl OwnerId {
    pub fn of(key: &Key) -> Option<Self> {
        let name = key.owner.clone()?;
        Some(Self { keyspace: key.keyspace_id, app: key.app_id, name })
    }

    pub fn owns(&self, key: &Key) -> bool {
        self.keyspace == key.keyspace_id
            && self.app == key.app_id
            && key.owner.as_ref() == Some(&self.name)
    }
}

/// Keyspaces and owners that changed, for going through many keys.
#[derive(Default)]
pub(crate) struct Touched {
    keyspaces: HashSet<KeyspaceId>,
    owners: HashSet<OwnerId>,
}

impl Touched {
    pub fn by(changed: &[Changed]) -> Self {
        let mut touched = Self::default();
        for changed in changed {
            match changed {
                Changed::Keyspace(id) => _ = touched.keyspaces.insert(*id),
                Changed::Owner(id) => _ = touched.owners.insert(id.clone()),
                Changed::Key(_) => {}
            }
        }
        touched
    }

    pub fn is_empty(&self) -> bool {
        self.keyspaces.is_empty() && self.owners.is_empty()
    }

    pub fn touches(&self, key: &Key) -> bool {
        let has_owner = || OwnerId::of(key).is_some_and(|id| self.owners.contains(&id));
        self.keyspaces.contains(&key.keyspace_id) || (!self.owners.is_empty() && has_owner())
    }
}

/// A moment between two changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

#[derive(Default)]
pub(crate) struct Changes(Mutex<Recent>);

#[derive(Default)]
struct Recent {
    /// The number of changes so far.
    count: u64,
    /// The newest last.
    latest: VecDeque<Changed>,
}

impl Changes {
    pub fn mark(&self) -> Mark {
        Mark(self.with(|recent| recent.count))
    }

    pub fn note(&self, changed: impl IntoIterator<Item = Changed>) {
        self.with(|recent| {
            for changed in changed {
                recent.count += 1;
                if recent.latest.len() == MAX_REMEMBERED {
                    recent.latest.pop_front();
                }
                recent.latest.push_back(changed);
            }
        });
    }

    /// Whatever is being read now may be older than anything that is known to have changed.
    pub fn forget_all(&self) {
        self.with(|recent| {
            recent.count += 1;
            recent.latest.clear();
        });
    }

    /// Does `work` unless something that `touches` it changed since; answers whether it did.
    pub fn unless(
        &self,
        since: Mark,
        touches: impl Fn(&Changed) -> bool,
        work: impl FnOnce(),
    ) -> bool {
        self.with(|recent| {
            let passed = usize::try_from(recent.count - since.0).unwrap_or(usize::MAX);
            if passed > recent.latest.len() || recent.latest.iter().rev().take(passed).any(touches)
            {
                return false;
            }
            work();
            true
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Recent) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use model::{Entropy, Timestamp};

    use super::*;

    #[test]
    fn what_changed_since_is_not_put_into_memory() {
        let entropy = Entropy::seeded(1);
        let id = || KeyId::new(Timestamp(1), &entropy);
        let (mine, other) = (Changed::Key(id()), Changed::Key(id()));
        let changes = Changes::default();
        let done = |mark| changes.unless(mark, |changed| *changed == mine, || ());

        changes.note([mine.clone()]);
        let mark = changes.mark();
        assert!(done(mark), "it changed before");
        changes.note([other.clone()]);
        assert!(done(mark), "something else changed");
        changes.note([mine.clone(), other.clone()]);
        assert!(!done(mark));

        let mark = changes.mark();
        changes.note(std::iter::repeat_n(other, MAX_REMEMBERED));
        assert!(done(mark));
        changes.note([mine.clone()]);
        assert!(!done(mark), "more changed than is remembered");
    }
    #[test]
    fn after_a_new_beginning_no_older_reading_enters() {
        let changes = Changes::default();
        let done = |mark| changes.unless(mark, |_| false, || ());
        let before = changes.mark();
        changes.forget_all();
        assert!(!done(before));
        assert!(done(changes.mark()));
        let other = Changed::Key(KeyId::new(Timestamp(1), &Entropy::seeded(1)));
        for _ in 0..2 * MAX_REMEMBERED {
            changes.note([other.clone()]);
            assert!(!done(before));
        }
    }
}
