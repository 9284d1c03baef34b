//! Follows the database's change log, so that what every node holds is at most a second old.
//!
//! It looks every [`POLL_EVERY`], and at once when the store's bell rings: a bell that is not
//! heard costs nothing but that quarter of a second. `as_of` is the moment before the last look
//! whose changes were all applied; whoever serves from memory compares it with the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use store::{KeyChange, KeyChangeKind, MAX_CHANGES};
use tokio::sync::watch;

use crate::background::stopped;
use crate::changes::{Changed, OwnerId};
use crate::credentials::Credentials;
use crate::upkeep::Upkeep;
use crate::warm;

pub(crate) const POLL_EVERY: Duration = Duration::from_millis(250);
/// What is held is unconfirmed when it is older.
pub(crate) const CONFIRMED_MS: u64 = 1_000;
/// A living node says at least so often how far it is, changes or not.
const CONFIRM_EVERY: Duration = Duration::from_secs(60);
/// After so long without an answer the log may not reach back: everything is read anew.
const LOST_AFTER_MS: u64 = 60 * 60 * 1_000;

pub(crate) struct Follower {
    credentials: Arc<Credentials>,
    upkeep: Arc<Upkeep>,
    /// The last change applied.
    seq: AtomicI64,
    /// Milliseconds of the clock's own count.
    as_of_ms: AtomicU64,
    confirmed: tokio::sync::Mutex<Confirmed>,
    /// One look at a time.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Confirmed {
    seq: Option<i64>,
    at: Duration,
}

impl Follower {
    /// Begins at the newest change: what is read after is as new.
    pub async fn begin(credentials: Arc<Credentials>, upkeep: Arc<Upkeep>) -> store::Result<Self> {
        let as_of = credentials.store.clock().elapsed();
        let seq = credentials.store.newest_key_change().await?;
        Ok(Self {
            credentials,
            upkeep,
            seq: AtomicI64::new(seq),
            as_of_ms: AtomicU64::new(ms(as_of)),
            confirmed: tokio::sync::Mutex::default(),
            looking: tokio::sync::Mutex::new(()),
        })
    }

    /// How old the last confirmation is.
    pub fn stale_ms(&self, now: Duration) -> u64 {
        ms(now).saturating_sub(self.as_of_ms.load(Ordering::Acquire))
    }

    /// Until told to stop.
    pub async fn run(self: Arc<Self>, hears_bell: bool, mut stop: watch::Receiver<bool>) {
        let mut bell = self.credentials.store.key_bell();
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "changes of keys cannot be followed");
            }
            self.grow_filter();
            tokio::select! {
                () = tokio::time::sleep(POLL_EVERY) => {}
                () = bell.rung(), if hears_bell => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Applies all changes up to now, and says so.
    pub async fn look(&self) -> store::Result<()> {
        let _alone = self.looking.lock().await;
        let store = &self.credentials.store;
        if self.stale_ms(store.clock().elapsed()) > LOST_AFTER_MS {
            self.begin_anew().await?;
        }
        loop {
            let as_of = store.clock().elapsed();
            let changes = store.key_changes(self.seq.load(Ordering::Acquire), MAX_CHANGES).await?;
            let Some(last) = changes.last().map(|change| change.seq) else {
                self.as_of_ms.fetch_max(ms(as_of), Ordering::Release);
                return self.confirm(as_of).await;
            };
            let is_all = changes.len() < MAX_CHANGES as usize;
            let changed = changes.into_iter().filter_map(changed).collect();
            self.upkeep.apply(&self.credentials, changed).await?;
            self.seq.store(last, Ordering::Release);
            if is_all {
                self.as_of_ms.fetch_max(ms(as_of), Ordering::Release);
                return self.confirm(as_of).await;
            }
        }
    }

    async fn begin_anew(&self) -> store::Result<()> {
        let newest = self.credentials.store.newest_key_change().await?;
        self.credentials.memory.clear();
        self.credentials.load_kinds().await?;
        warm::load_filter(&self.credentials).await?;
        self.seq.store(newest, Ordering::Release);
        Ok(())
    }

    async fn confirm(&self, now: Duration) -> store::Result<()> {
        let seq = self.seq.load(Ordering::Acquire);
        let mut confirmed = self.confirmed.lock().await;
        let is_news = confirmed.seq != Some(seq);
        if is_news || now.saturating_sub(confirmed.at) >= CONFIRM_EVERY {
            self.credentials.store.confirm_changes(seq).await?;
            *confirmed = Confirmed { seq: Some(seq), at: now };
        }
        Ok(())
    }

    /// A filter with more keys than it has room for is built anew, beside everything else.
    fn grow_filter(&self) {
        if !self.credentials.memory.is_filter_full() {
            return;
        }
        let credentials = self.credentials.clone();
        tokio::spawn(async move {
            if let Err(error) = warm::load_filter(&credentials).await {
                tracing::warn!(%error, "the filter of keys cannot grow");
            }
        });
    }
}

fn changed(change: KeyChange) -> Option<Changed> {
    match change.kind {
        KeyChangeKind::Keyspace => Some(Changed::Keyspace(change.keyspace_id)),
        KeyChangeKind::Key => change.id.parse().ok().map(Changed::Key),
        KeyChangeKind::Owner => Some(Changed::Owner(OwnerId {
            keyspace: change.keyspace_id,
            app: change.app_id,
            name: change.id,
        })),
    }
}

fn ms(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
