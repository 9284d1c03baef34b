//! Maintenance: idempotent chores without input, each on its own period.
//!
//! A chore that fails is logged and done again at its next turn. Several processes may do the
//! same chore at the same time: each step is guarded in the store.

mod archive;
pub mod housekeeping;
pub mod lease_rescue;
pub mod retention;
pub mod rotation;
mod secret_checks;
pub mod tasks;
pub mod windows;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use store::StoreError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::deliver::Deliverer;
use crate::stopped;
use housekeeping::Housekeeping;

const RESCUE_EVERY: Duration = Duration::from_secs(1);
const RETENTION_EVERY: Duration = Duration::from_secs(60);
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(60);
const WINDOWS_EVERY: Duration = Duration::from_secs(1);
const OUTCOMES_EVERY: Duration = Duration::from_secs(1);
const ROTATION_EVERY: Duration = Duration::from_secs(30);
const SECRET_CHECKS_EVERY: Duration = Duration::from_secs(5);
const CONNECTIONS_EVERY: Duration = Duration::from_secs(5);

/// Does all chores until `shutdown`.
pub(crate) async fn run(
    deliverer: Arc<Deliverer>,
    keeping: Housekeeping,
    shutdown: watch::Receiver<bool>,
) {
    let store = deliverer.store.clone();
    let mut chores = JoinSet::new();
    let rescue = store.clone();
    chores.spawn(every(RESCUE_EVERY, std::future::pending, shutdown.clone(), move || {
        lease_rescue::rescue(rescue.clone())
    }));
    chores.spawn(tasks::keep_going(store.clone(), shutdown.clone()));
    let (rotation, moved) = (store.clone(), moves(store.clock()));
    let moved = move || moved.clone().notified_owned();
    chores.spawn(every(ROTATION_EVERY, moved, shutdown.clone(), move || {
        rotation::renew(rotation.clone())
    }));
    let (wake, checks) = (store.wake().clone(), deliverer.clone());
    let asked = move || {
        let wake = wake.clone();
        async move { wake.checks().await }
    };
    chores.spawn(every(SECRET_CHECKS_EVERY, asked, shutdown.clone(), move || {
        secret_checks::carry_out(checks.clone())
    }));
    let windows = store.clone();
    chores.spawn(every(WINDOWS_EVERY, std::future::pending, shutdown.clone(), move || {
        windows::advance(windows.clone())
    }));
    let (retention, key_usage_ms) = (store.clone(), keeping.key_usage_ms);
    chores.spawn(every(RETENTION_EVERY, std::future::pending, shutdown.clone(), move || {
        retention::erase(retention.clone(), key_usage_ms)
    }));
    let wake = store.wake().clone();
    let asked = move || {
        let wake = wake.clone();
        async move { wake.chores().await }
    };
    chores.spawn(unless_stopped(
        shutdown.clone(),
        every(HOUSEKEEPING_EVERY, asked, shutdown.clone(), move || {
            housekeeping::turn(store.clone(), keeping.clone())
        }),
    ));
    let outcomes = deliverer.clone();
    chores.spawn(every(OUTCOMES_EVERY, std::future::pending, shutdown.clone(), move || {
        let deliverer = outcomes.clone();
        async move { deliverer.outcomes.flush(&deliverer.store).await }
    }));
    chores.spawn(every(CONNECTIONS_EVERY, std::future::pending, shutdown, move || {
        deliverer.http.close_idle();
        std::future::ready(Ok(()))
    }));
    while chores.join_next().await.is_some() {}
}

/// A chore that may take long: each of its steps stands by itself, so it is cut off.
async fn unless_stopped(mut shutdown: watch::Receiver<bool>, chore: impl Future<Output = ()>) {
    tokio::select! {
        () = stopped(&mut shutdown) => {}
        () = chore => {}
    }
}

/// Rings at each move of a manual clock.
fn moves(clock: &Clock) -> Arc<Notify> {
    let moved = Arc::new(Notify::new());
    let ring = moved.clone();
    clock.on_advance(move || ring.notify_one());
    moved
}

/// Does one chore now, then after each period or ring.
async fn every<C, R>(
    period: Duration,
    ring: impl Fn() -> R + Send,
    mut shutdown: watch::Receiver<bool>,
    chore: impl Fn() -> C + Send,
) where
    C: Future<Output = Result<(), StoreError>> + Send,
    R: Future<Output = ()> + Send,
{
    loop {
        if let Err(error) = chore().await {
            tracing::error!(%error, "a chore failed; it is done again later");
        }
        tokio::select! {
            () = stopped(&mut shutdown) => return,
            () = ring() => {}
            () = tokio::time::sleep(period) => {}
        }
    }
}
