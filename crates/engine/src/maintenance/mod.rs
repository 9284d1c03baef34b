//! Maintenance: idempotent chores without input, each on its own period.
//!
//! A chore that fails is logged and done again at its next turn. Several processes may do the
//! same chore at the same time: each step is guarded in the store.

pub mod lease_rescue;
pub mod retention;
pub mod tasks;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::deliver::Deliverer;
use crate::{Retention, stopped};

const RESCUE_EVERY: Duration = Duration::from_secs(1);
const TASKS_EVERY: Duration = Duration::from_secs(5);
const RETENTION_EVERY: Duration = Duration::from_secs(60);
const CONNECTIONS_EVERY: Duration = Duration::from_secs(5);

/// Does all chores until `shutdown`.
pub(crate) async fn run(
    deliverer: Arc<Deliverer>,
    kept: Retention,
    shutdown: watch::Receiver<bool>,
) {
    let store = deliverer.store.clone();
    let wake = store.wake().clone();
    let mut chores = JoinSet::new();
    let rescue = store.clone();
    chores.spawn(every(RESCUE_EVERY, std::future::pending, shutdown.clone(), move || {
        lease_rescue::rescue(rescue.clone())
    }));
    let tasks = store.clone();
    let woken = move || {
        let wake = wake.clone();
        async move { wake.tasks().await }
    };
    chores.spawn(every(TASKS_EVERY, woken, shutdown.clone(), move || tasks::run(tasks.clone())));
    let retention = store;
    chores.spawn(every(RETENTION_EVERY, std::future::pending, shutdown.clone(), move || {
        retention::erase(retention.clone(), kept)
    }));
    chores.spawn(every(CONNECTIONS_EVERY, std::future::pending, shutdown, move || {
        deliverer.http.close_idle();
        std::future::ready(Ok(()))
    }));
    while chores.join_next().await.is_some() {}
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
