//! What runs without a request: following changes, warming up, carrying rows on to the newest
//! pepper, settling usage.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::usage::SETTLE_EVERY;
use crate::{Keys, peppers, warm};

pub(crate) struct Background {
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Background {
    pub fn new() -> Self {
        Self { stop: watch::Sender::new(false), tasks: Mutex::default() }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(task));
    }
}

impl Keys {
    pub(crate) fn spawn_background(&self, hears_bell: bool) {
        let background = &self.0.background;
        let stop = || background.stop.subscribe();
        background.spawn(self.0.follower.clone().run(hears_bell, stop()));
        background.spawn(settle_usage(self.clone(), stop()));
        let (credentials, stopped) = (self.0.credentials.clone(), stop());
        background.spawn(until(stopped, async move {
            if let Err(error) = warm::load_entries(&credentials).await {
                tracing::warn!(%error, "keys are not warmed up: each takes one read");
            }
            if let Err(error) = peppers::upgrade(&credentials).await {
                tracing::warn!(%error, "rows under an older pepper wait for the next start");
            }
        }));
    }

    /// Settles what was counted and ends the background work.
    pub async fn close(&self) {
        let background = &self.0.background;
        background.stop.send_replace(true);
        let tasks =
            std::mem::take(&mut *background.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // One that panicked has said so.
            let _ = task.await;
        }
        self.settle_usage().await;
    }

    /// Writes what was counted up to now.
    pub async fn settle_usage(&self) {
        self.0.usage.settle(&self.0.store).await;
    }
}

async fn settle_usage(keys: Keys, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SETTLE_EVERY) => {}
            () = stopped(&mut stop) => return,
        }
        keys.settle_usage().await;
    }
}

async fn until(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stopped(&mut stop) => {}
    }
}

pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: that is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
