//! Background tasks: each is taken step by step, all of them in turn; every step commits with its
//! progress. A task says when its next step makes sense.

use std::time::Duration;

use model::Timestamp;
use model::task::Task;
use store::{Step, Store, StoreError};
use tokio::sync::watch;

use crate::stopped;

/// How often tasks are looked for without a reason.
const EVERY: Duration = Duration::from_secs(5);
/// The pause of tasks that wait for others' deliveries; it doubles while nothing moves.
const CROWDED_PAUSE: Duration = Duration::from_millis(20);
/// So often it doubles.
const MAX_DOUBLINGS: u32 = 5;

/// When the next round makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Now,
    /// When some deliveries were settled.
    Crowded,
    At(Timestamp),
    /// When something is new.
    Idle,
}

/// Does tasks until `shutdown`.
pub(crate) async fn keep_going(store: Store, mut shutdown: watch::Receiver<bool>) {
    let mut still = 0;
    while !*shutdown.borrow() {
        // Subscribed before the look: what is started during it rings.
        let rung = store.wake().tasks();
        let next = round(&store).await.unwrap_or_else(|error| {
            tracing::error!(%error, "tasks are not found; they are looked for again later");
            Next::Idle
        });
        still = if next == Next::Crowded { still + 1 } else { 0 };
        let pause = match next {
            Next::Now => {
                tokio::task::yield_now().await;
                continue;
            }
            Next::Crowded => CROWDED_PAUSE * 2_u32.pow((still - 1).min(MAX_DOUBLINGS)),
            // The clock's moves ring.
            Next::At(_) if store.clock().is_manual() => EVERY,
            Next::At(due) => Duration::from_millis(due.since_ms(store.clock().now())).min(EVERY),
            Next::Idle => EVERY,
        };
        tokio::select! {
            () = stopped(&mut shutdown) => return,
            () = rung => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One step of each running task.
///
/// # Errors
/// When the database fails.
pub async fn round(store: &Store) -> Result<Next, StoreError> {
    let mut next = Next::Idle;
    for mut task in store.running_tasks().await? {
        match store.step_task(&mut task).await {
            Ok(step) => {
                next = sooner(next, step);
                tell(&task);
            }
            // It does not stop the others.
            Err(error) => tracing::error!(task = %task.id, %error, "a step is done again later"),
        }
    }
    Ok(next)
}

fn sooner(next: Next, step: Step) -> Next {
    match (next, step) {
        (Next::Now, _) | (_, Step::Moved) => Next::Now,
        (Next::Crowded, _) | (_, Step::Crowded) => Next::Crowded,
        (Next::At(one), Step::Wait(two)) => Next::At(one.min(two)),
        (Next::Idle, Step::Wait(due)) => Next::At(due),
        (next, Step::NotOurs) => next,
    }
}

fn tell(task: &Task) {
    if task.status.is_final() {
        let (kind, done, status) = (task.work.kind(), task.progress.done, task.status.as_str());
        tracing::info!(task = %task.id, kind, done, status, "a task is over");
    }
}
