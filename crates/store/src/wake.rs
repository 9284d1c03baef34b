//! The data-less wake-up: "look now". Where `api` and `engine` meet besides the tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Clock;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

/// Rings for work in the queue and for background tasks alike; whoever hears it looks in the
/// database, so a lost or a needless ring does no harm.
#[derive(Clone, Debug)]
pub struct Wake {
    queue: Arc<Notify>,
    tasks: Arc<Notify>,
    checks: Arc<Notify>,
    chores: Arc<Notify>,
    hungry: Arc<AtomicBool>,
    settled: Arc<watch::Sender<u64>>,
}

impl Wake {
    pub(crate) fn new(clock: &Clock) -> Self {
        let wake = Self {
            queue: Arc::new(Notify::new()),
            tasks: Arc::new(Notify::new()),
            checks: Arc::new(Notify::new()),
            chores: Arc::new(Notify::new()),
            hungry: Arc::new(AtomicBool::new(false)),
            settled: Arc::new(watch::Sender::new(0)),
        };
        let on_advance = wake.clone();
        clock.on_advance(move || {
            on_advance.queue.notify_one();
            on_advance.tasks.notify_one();
            on_advance.checks.notify_one();
        });
        wake
    }

    /// Something may be due.
    pub fn ring_queue(&self) {
        self.queue.notify_one();
    }

    /// Whoever takes from the queue found more than it had slots for: it wants to hear of the
    /// next slot that is given back.
    pub fn set_hungry(&self, hungry: bool) {
        self.hungry.store(hungry, Ordering::SeqCst);
    }

    pub(crate) fn ring_if_hungry(&self) {
        if self.hungry.load(Ordering::SeqCst) {
            self.ring_queue();
        }
    }

    /// How many settlements this process has written: a signal for whoever waits for outcomes.
    #[must_use]
    pub fn settled(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    pub(crate) fn count_settled(&self, n: usize) {
        self.settled.send_modify(|count| *count += u64::try_from(n).unwrap_or(0));
    }

    pub fn queue(&self) -> Notified<'_> {
        self.queue.notified()
    }

    /// Somebody asked for housekeeping.
    pub(crate) fn ring_chores(&self) {
        self.chores.notify_one();
    }

    pub fn chores(&self) -> Notified<'_> {
        self.chores.notified()
    }

    /// A background task may be waiting.
    pub fn ring_tasks(&self) {
        self.tasks.notify_one();
    }

    pub fn tasks(&self) -> Notified<'_> {
        self.tasks.notified()
    }

    /// A check of a secret may be waiting.
    pub fn ring_checks(&self) {
        self.checks.notify_one();
    }

    pub fn checks(&self) -> Notified<'_> {
        self.checks.notified()
    }
}
