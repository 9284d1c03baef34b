//! One flight at a time for each key: whoever asks while another is asking waits for that answer.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

type Cells<K, V> = HashMap<K, Arc<OnceCell<V>>>;

pub(crate) struct Flights<K, V>(Mutex<Cells<K, V>>);

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// The answer of `fly`, or of the flight that is under way. When the one who flies is dropped,
    /// one of those who wait flies itself.
    pub async fn join(&self, key: K, fly: impl Future<Output = V>) -> V {
        let cell = self.cells().entry(key.clone()).or_default().clone();
        // Also when the one who waits is dropped: what is left is bounded by who waits.
        let seat = Seat { flights: self, key, cell };
        seat.cell.get_or_init(|| fly).await.clone()
    }

    fn cells(&self) -> MutexGuard<'_, Cells<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Seat<'a, K: Eq + Hash, V> {
    flights: &'a Flights<K, V>,
    key: K,
    cell: Arc<OnceCell<V>>,
}

impl<K: Eq + Hash, V> Drop for Seat<'_, K, V> {
    fn drop(&mut self) {
        let mut cells = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cell) = cells.get(&self.key) else { return };
        // One for the map and one for this seat: nobody else waits. An answer serves only those
        // who asked before it came.
        let is_mine = Arc::ptr_eq(cell, &self.cell);
        if is_mine && (cell.initialized() || Arc::strong_count(cell) <= 2) {
            cells.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_flies_for_all_and_nothing_is_left() {
        let flights: Flights<u8, usize> = Flights::new();
        let flown = AtomicUsize::new(0);
        let fly = || async {
            tokio::task::yield_now().await;
            flown.fetch_add(1, Ordering::SeqCst)
        };
        let answers = tokio::join!(flights.join(1, fly()), flights.join(1, fly()));
        assert_eq!(answers, (0, 0));
        assert_eq!(flights.join(1, fly()).await, 1, "a later question is a new one");
        assert!(flights.cells().is_empty());
    }

    #[tokio::test]
    async fn whoever_leaves_takes_the_seat_along() {
        let flights: Flights<u8, ()> = Flights::new();
        let mut never = Box::pin(flights.join(1, std::future::pending()));
        let mut other = Box::pin(flights.join(1, async {}));
        assert!(futures_once(never.as_mut()).await.is_none());
        assert!(futures_once(other.as_mut()).await.is_none());
        drop(never);
        assert_eq!(other.await, (), "it flies itself");
        drop(flights.join(2, std::future::pending()));
        assert!(flights.cells().is_empty());
    }

    /// Polls once.
    async fn futures_once<F: Future + Unpin>(future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
