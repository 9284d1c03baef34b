//! Is this key good? The part that answers it in microseconds.
//!
//! [`Keys`] is a cheap handle. A verification ([`Keys::verify`]) computes the keyed index of the
//! shown token, finds the credential in memory, asks one pure function (`model::key::decide`)
//! and then the limiter. Nothing of that waits for the database: it is read once, when a
//! credential is first asked for or at the start (`warm`), and its row tags are checked then.
//! The `follower` applies the database's change log to what is held in memory, so that a
//! revocation reaches every node within a second; `usage` carries what was counted back.
//!
//! The writing verbs (`keyspaces`, `issue`, `rotate`, `revoke`, `import`, `owners`, `bulk`) make
//! what only this crate can: tokens, indexes, password hashes, row tags. They apply their own
//! change to this node's memory before they return. What happens by the clock alone (reminders,
//! renewals by policy) is the `schedule`'s.
//!
//! This crate alone knows Redis and the password hashes.

mod background;
mod bulk;
mod care;
mod changes;
mod check;
mod credentials;
mod entry;
mod error;
mod events;
mod filter;
mod flights;
mod follower;
mod hasher;
mod held;
mod import;
mod issue;
mod keyspaces;
mod kinds;
pub mod limiter;
mod limits;
mod memory;
mod owners;
pub mod passwords;
mod peppers;
mod probes;
mod revoke;
mod rotate;
mod schedule;
mod seal;
mod stats;
mod stored;
mod tampering;
mod upkeep;
mod usage;
mod verdict;
mod verifier;
mod warm;

use std::sync::Arc;

use model::key::pepper::Peppers;
use model::{AppId, KeyspaceId, Timestamp};
use store::Store;

pub use bulk::{BulkChange, KeySelection, MAX_BULK};
pub use entry::{BoundLimit, Entry};
pub use error::KeysError;
pub use import::{ImportedHash, MAX_IMPORT, MIN_ENTROPY_BITS, NewImport};
pub use issue::{Minted, NewKey};
pub use keyspaces::KeyspaceFields;
pub use owners::OwnerFields;
pub use peppers::PepperReport;
pub use probes::ProbeBudget;
pub use revoke::{Confirmation, MAX_WAIT_MS, Revoked};
pub use rotate::Rotated;
pub use schedule::{REMINDER_DAYS, ScheduleError};
pub use stats::Stats;
pub use usage::MAX_USER_AGENT;
pub use verdict::{LimitUse, Verdict, VerifyRequest};

use crate::background::Background;
use crate::care::Sampling;
use crate::changes::Changed;
use crate::credentials::Credentials;
use crate::follower::Follower;
use crate::hasher::Hasher;
use crate::limiter::Limiter;
use crate::schedule::Schedule;
use crate::seal::Sealer;
use crate::stats::Counters;
use crate::upkeep::Upkeep;
use crate::usage::Usage;

/// Others were faster so often: an answer, instead of trying on.
const MAX_TRIES: usize = 16;

/// bcrypt's cost where nothing else is said: 64 ms of one core.
pub const DEFAULT_HASH_COST: u32 = 10;

/// When a verification runs the password hash besides the keyed index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashCheck {
    /// Never on the way; a sample in the background.
    #[default]
    Never,
    /// Once for each secret and process.
    FirstUse,
    /// Each time.
    Always,
}

/// How the keys of an instance are started.
pub struct KeysOptions {
    pub store: Store,
    pub peppers: Arc<Peppers>,
    pub limiter: Limiter,
    /// bcrypt's cost for new secrets, 4 to 31.
    pub hash_cost: u32,
    pub hash_check: HashCheck,
    pub probe_budget: ProbeBudget,
    /// False: changes of other nodes are found by looking alone.
    pub hears_bell: bool,
}

impl KeysOptions {
    #[must_use]
    pub fn new(store: Store, peppers: Arc<Peppers>, limiter: Limiter) -> Self {
        Self {
            store,
            peppers,
            limiter,
            hash_cost: DEFAULT_HASH_COST,
            hash_check: HashCheck::default(),
            probe_budget: ProbeBudget::default(),
            hears_bell: true,
        }
    }
}

/// The answers of one process. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

pub(crate) struct Inner {
    store: Store,
    peppers: Arc<Peppers>,
    limiter: Limiter,
    hash_check: HashCheck,
    credentials: Arc<Credentials>,
    upkeep: Arc<Upkeep>,
    follower: Arc<Follower>,
    usage: Usage,
    stats: Counters,
    sampling: Sampling,
    background: Background,
    schedule: Schedule,
}

/// A key as somebody may name it: within an app, or among the instance's own.
#[derive(Clone, Copy, Debug)]
pub struct KeyAt<'a> {
    /// None: the keys that belong to no app.
    pub app: Option<AppId>,
    pub id: &'a str,
}

/// An owner as somebody may name it.
#[derive(Clone, Debug)]
pub struct OwnerAt {
    pub keyspace: KeyspaceId,
    pub app: Option<AppId>,
    pub name: String,
}

impl Keys {
    /// Starts the background work: following changes, warming up, settling usage. When it
    /// answers, every living key verifies; those that are not in memory yet take one read.
    ///
    /// # Errors
    /// When the database does not answer, or was written with other peppers.
    pub async fn start(options: KeysOptions) -> Result<Self, KeysError> {
        let KeysOptions { store, peppers, limiter, .. } = options;
        peppers::check(&store, &peppers).await?;
        let hasher = Hasher::new(options.hash_cost, store.entropy().clone());
        let credentials =
            Credentials::new(store.clone(), peppers.clone(), hasher, options.probe_budget);
        let (credentials, upkeep) = (Arc::new(credentials), Arc::new(Upkeep::new()));
        let follower = Arc::new(Follower::begin(credentials.clone(), upkeep.clone()).await?);
        credentials.load_kinds().await?;
        warm::load_filter(&credentials).await?;
        let keys = Self(Arc::new(Inner {
            store,
            peppers,
            limiter,
            hash_check: options.hash_check,
            credentials,
            upkeep,
            follower,
            usage: Usage::new(),
            stats: Counters::default(),
            sampling: Sampling::default(),
            background: Background::new(),
            schedule: Schedule::default(),
        }));
        keys.spawn_background(options.hears_bell);
        Ok(keys)
    }

    /// Looks for changes of other nodes now, instead of within a quarter of a second.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn catch_up(&self) -> Result<(), KeysError> {
        Ok(self.0.follower.look().await?)
    }

    fn sealer(&self) -> Sealer<'_> {
        Sealer(&self.0.peppers)
    }

    fn now(&self) -> Timestamp {
        self.0.store.clock().now()
    }

    /// This node knows its own changes before it answers.
    async fn apply(&self, changed: Changed) {
        self.apply_all(vec![changed]).await;
    }

    async fn apply_all(&self, changed: Vec<Changed>) {
        if let Err(error) = self.0.upkeep.apply(&self.0.credentials, changed).await {
            // What was held is gone; it is read when it is asked for.
            tracing::warn!(%error, "changed keys cannot be read again");
        }
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}
