//! The dispatcher: two loops that start deliveries, and the slots that bound them.
//!
//! Deliveries that are leased to this process and have a slot arrive in memory and are started.
//! What was not leased when it was published, retries, overflow, what a crash left, is claimed:
//! when the store rings, when the next one is due, and now and then in case another process
//! queued something. What is claimed then arrives the same way.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use store::{After, Lease, Store};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::deliver::Deliverer;
use crate::stopped;

/// How often the queue is looked at without a reason.
const POLL: Duration = Duration::from_secs(1);
/// The shortest pause between claims: many rings become one look.
const CLAIM_PAUSE: Duration = Duration::from_millis(2);
/// After a claim that failed.
const FAULT_PAUSE: Duration = Duration::from_millis(200);
/// Fresh deliveries started in one go.
const MAX_FRESH: usize = 256;

/// Starts what has a slot, until `shutdown`; then gives back what was not started.
pub(crate) async fn start(
    deliverer: Arc<Deliverer>,
    mut fresh: mpsc::UnboundedReceiver<Lease>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut under_way = JoinSet::new();
    let mut leases = Vec::with_capacity(MAX_FRESH);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            n = fresh.recv_many(&mut leases, MAX_FRESH) => if n == 0 { break },
        }
        for lease in leases.drain(..) {
            under_way.spawn(deliverer.clone().deliver(lease));
        }
        while under_way.try_join_next().is_some() {}
    }
    fresh.close();
    while let Some(lease) = fresh.recv().await {
        release(&deliverer.store, &lease).await;
    }
    while under_way.join_next().await.is_some() {}
}

/// Claims what is due, until `shutdown`.
pub(crate) async fn claim_due(store: Store, mut shutdown: watch::Receiver<bool>) {
    while !*shutdown.borrow() {
        // Subscribed before the look: what is queued during it rings.
        let rung = store.wake().queue();
        let pause = match store.claim().await {
            Ok(claimed) => {
                store.wake().set_hungry(claimed.more);
                match claimed.count {
                    0 => until(&store, claimed.next_due),
                    _ if claimed.more => Some(CLAIM_PAUSE),
                    _ => until(&store, claimed.next_due),
                }
            }
            Err(error) => {
                tracing::error!(%error, "nothing claimed");
                Some(FAULT_PAUSE)
            }
        };
        tokio::select! {
            () = stopped(&mut shutdown) => return,
            () = rung => tokio::time::sleep(CLAIM_PAUSE).await,
            () = sleep(pause) => {}
        }
    }
}

/// How long to sleep until something is due; none when only a ring can tell.
fn until(store: &Store, next_due: Option<Timestamp>) -> Option<Duration> {
    if store.clock().is_manual() {
        return None;
    }
    let due = next_due.map(|due| Duration::from_millis(due.since_ms(store.clock().now())));
    // What is due already waits for a slot, and slots ring.
    Some(due.filter(|due| !due.is_zero()).map_or(POLL, |due| due.clamp(CLAIM_PAUSE, POLL)))
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

async fn release(store: &Store, lease: &Lease) {
    if store.settle(lease.settlement(None, After::Released)).await.is_err() {
        store.abandon(lease);
    }
}
