//! What this process knows of its subjects: sharded, bounded, forgotten when idle.
//!
//! A [`Slot`] is one limit of one subject. It counts everything that this node admitted, also
//! where Redis counts too: so a node that must go on alone knows its own part, and a Redis that
//! comes back, or comes back empty, is told what it does not know.
//!
//! At the maximum, idle subjects are forgotten first and then, if that is not enough, the quarter
//! of the shard that was asked for longest ago. Refusing newcomers instead would let a flood of
//! addresses shut out good keys; what is forgotten wrongly costs one window in this process
//! and is counted in the health. What Redis counts is not touched by it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::key::limit::{Quota, Window};

use super::lease::Lease;
use super::subject::SubjectKey;

/// Subjects in one process at the most. One with a single limit takes half a kilobyte, or two
/// where it is used all through a window: 60 to 280 MB in all.
pub const MAX_SUBJECTS: usize = 1 << 17;
/// Names of one subject at the most; a name beyond takes the place of the idlest.
pub const MAX_NAMES: usize = 64;
const SHARDS: usize = 64;

/// One limit of one subject, on this node.
pub(super) struct Slot {
    pub name: Arc<str>,
    pub quota: Quota,
    /// All that this node admitted.
    pub own: Window,
    /// The part of it that was admitted while Redis did not answer.
    pub uncounted: Window,
    /// The life of Redis in which the rest of `own` is counted; 0: none.
    pub counted_in: i64,
    pub lease: Lease,
    pub seen: Seen,
}

/// What Redis said last.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub remaining: u64,
    pub resets_at_ms: u64,
}

struct Subject {
    asked_ms: u64,
    slots: Vec<Slot>,
}

type Shard = HashMap<SubjectKey, Subject>;

pub(super) struct Subjects {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    per_shard: usize,
    next_to_prune: AtomicUsize,
    forgotten: AtomicU64,
}

impl Subjects {
    pub fn new(max_subjects: usize) -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: RandomState::new(),
            per_shard: (max_subjects / SHARDS).max(4),
            next_to_prune: AtomicUsize::new(0),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Works on one slot, made when it is new.
    pub fn with<R>(
        &self,
        key: &SubjectKey,
        name: &str,
        quota: Quota,
        now_ms: u64,
        work: impl FnOnce(&mut Slot) -> R,
    ) -> R {
        let mut shard = self.shard(key);
        if shard.len() >= self.per_shard && !shard.contains_key(key) {
            self.make_room(&mut shard, now_ms);
        }
        let subject =
            shard.entry(*key).or_insert_with(|| Subject { asked_ms: now_ms, slots: Vec::new() });
        subject.asked_ms = now_ms;
        let slot = subject.slot(name, now_ms);
        slot.quota = quota;
        work(slot)
    }

    /// Works on a slot that exists.
    pub fn with_known<R>(
        &self,
        key: &SubjectKey,
        name: &str,
        work: impl FnOnce(&mut Slot) -> R,
    ) -> Option<R> {
        let mut shard = self.shard(key);
        let slots = &mut shard.get_mut(key)?.slots;
        slots.iter_mut().find(|slot| *slot.name == *name).map(work)
    }

    /// Forgets what is idle in one shard; the next call takes the next one.
    pub fn prune(&self, now_ms: u64) {
        let next = self.next_to_prune.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut shard = self.shards[next].lock().unwrap_or_else(PoisonError::into_inner);
        shard.retain(|_, subject| !subject.is_idle(now_ms));
    }

    pub fn count(&self) -> usize {
        let len = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.shards.iter().map(len).sum()
    }

    /// Subjects that were forgotten while they still counted, to make room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &SubjectKey) -> std::sync::MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash >> 32).unwrap_or(0) % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_room(&self, shard: &mut Shard, now_ms: u64) {
        shard.retain(|_, subject| !subject.is_idle(now_ms));
        if shard.len() < self.per_shard {
            return;
        }
        let mut asked: Vec<u64> = shard.values().map(|subject| subject.asked_ms).collect();
        let quarter = self.per_shard / 4;
        let (_, &mut bound, _) = asked.select_nth_unstable(quarter);
        let (before, mut to_forget) = (shard.len(), quarter + 1);
        shard.retain(|_, subject| {
            let forget = to_forget > 0 && subject.asked_ms <= bound;
            to_forget -= usize::from(forget);
            !forget
        });
        let forgotten = u64::try_from(before - shard.len()).unwrap_or(0);
        self.forgotten.fetch_add(forgotten, Ordering::Relaxed);
    }
}

impl Subject {
    fn is_idle(&mut self, now_ms: u64) -> bool {
        self.slots.iter_mut().all(|slot| slot.is_idle(now_ms))
    }

    fn slot(&mut self, name: &str, now_ms: u64) -> &mut Slot {
        let found = self.slots.iter().position(|slot| *slot.name == *name);
        let index = found.unwrap_or_else(|| {
            if self.slots.len() == MAX_NAMES {
                let idle = self.slots.iter_mut().position(|slot| slot.is_idle(now_ms));
                self.slots.remove(idle.unwrap_or(0));
            }
            self.slots.push(Slot::new(name));
            self.slots.len() - 1
        });
        &mut self.slots[index]
    }
}

impl Slot {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            quota: Quota { limit: 0, window_ms: 1 },
            own: Window::default(),
            uncounted: Window::default(),
            counted_in: 0,
            lease: Lease::default(),
            seen: Seen::default(),
        }
    }

    fn is_idle(&mut self, now_ms: u64) -> bool {
        self.own.used(self.quota, now_ms) == 0 && !self.lease.is_held(now_ms)
    }

    /// Counts what Redis has not counted.
    pub fn add_uncounted(&mut self, now_ms: u64, cost: u64) {
        self.own.add(self.quota, now_ms, cost);
        self.uncounted.add(self.quota, now_ms, cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { limit: 5, window_ms: 1_000 };

    fn used(subjects: &Subjects, n: usize, now_ms: u64, count: u64) -> u64 {
        let key = SubjectKey::named(&[&n.to_string()]);
        subjects.with(&key, "a", QUOTA, now_ms, |slot| {
            slot.own.add(QUOTA, now_ms, count);
            slot.own.used(QUOTA, now_ms)
        })
    }

    #[test]
    fn a_flood_of_subjects_stays_bounded_and_spares_who_comes_often() {
        let subjects = Subjects::new(1_024);
        for n in 1..20_000 {
            used(&subjects, n, n as u64 / 100, 1);
            assert_eq!(used(&subjects, 0, n as u64 / 100, 0).min(1), u64::from(n > 1));
            if n == 1 {
                used(&subjects, 0, 0, 1);
            }
        }
        assert!(subjects.count() <= 1_024);
        assert!(subjects.forgotten() > 15_000);
    }

    #[test]
    fn idle_subjects_are_forgotten_for_nothing() {
        let subjects = Subjects::new(1_024);
        for n in 0..20_000 {
            used(&subjects, n, n as u64 * 100, 1);
        }
        assert_eq!(subjects.forgotten(), 0);
        assert!(subjects.count() <= 1_024);
        (0..SHARDS).for_each(|_| subjects.prune(10_000_000));
        assert_eq!(subjects.count(), 0);
    }
}
