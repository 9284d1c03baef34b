//! The only crate that knows SQL.
//!
//! [`Store`] is a cheap handle. Reads and rare writes are methods on it, one noun per file, in
//! SQL that both databases understand. The hot verbs (`hot/`) go through batches: publishers
//! hand in messages and wait, deliverers hand in settlements and wait, and whatever queued while
//! the last commit ran goes into the next one.
//!
//! `api` and `engine` meet here, and in the data-less [`Wake`].

mod answers;
mod apps;
mod attempts;
mod audit;
mod breakers;
mod credentials;
mod db;
mod deliveries;
mod endpoint_events;
mod endpoints;
mod erasures;
mod event_types;
mod expiry;
mod failing;
mod gate;
mod hot;
mod housekeeping;
mod identities;
mod instance;
mod key_bell;
mod key_changes;
mod key_due;
mod key_edits;
mod key_imports;
mod key_owners;
mod key_peppers;
mod key_rows;
mod key_schedule;
mod key_secrets;
mod key_tampering;
mod key_tokens;
mod key_usage;
mod keys;
mod keyspaces;
mod lanes;
mod members;
mod messages;
mod migrate;
mod nodes;
pub mod operations;
mod page;
mod partitions;
mod purges;
mod replays;
mod retention;
mod routes;
mod rows;
mod schedules;
mod secrets;
mod sessions;
mod slots;
mod tasks;
mod usage;
mod users;
mod vaults;
mod wake;
mod windows;

use std::sync::Arc;

use model::breaker::Thresholds;
use model::lanes::Admission;
use model::retry::RetrySchedule;
use model::secret::SecretPolicy;
use model::vault::Vault;
use model::{Clock, Entropy};

pub use answers::{Answer, AnswerState};
pub use apps::AppRef;
pub use attempts::AttemptQuery;
pub use audit::{AuditQuery, AuditVerdict};
pub use breakers::{BreakerChange, BreakerOf, MAX_CHANGES as MAX_BREAKER_CHANGES, OwnThresholds};
pub use credentials::{Credential, Lookup, MAX_BY_START, MAX_WARM_UP};
pub use deliveries::{Cancel, DeliveryQuery, DeliveryRow};
pub use endpoint_events::{AttemptEvent, AttemptEventKind, MAX_ATTEMPT_EVENTS};
pub use erasures::{ErasureTrial, ErasureWish, MAX_TRIED};
pub use expiry::{Archived, Kept, Scope, Slice, SlicePage};
pub use failing::{MAX_FAILING, MAX_OUTCOMES, Outcomes};
pub use gate::{Gate, Hold};
pub use hot::claim::Claimed;
pub use hot::ingest::{NewMessage, PublishError, Published};
pub use hot::settle::{After, Settlement};
pub use housekeeping::{Chore, ChoreRun, ChoreState, Report, Sizes, TableSize};
pub use identities::Identity;
pub use key_bell::KeyBell;
pub use key_changes::{Confirmation, KeyChange, KeyChangeKind, MAX_CHANGES};
pub use key_due::{ExpiringQuery, MAX_DUE, RotationDue};
pub use key_edits::{KeyInsertion, MAX_BULK_KEYS};
pub use key_owners::OwnerRef;
pub use key_peppers::{Carried, MAX_CARRIED, RowsBehind};
pub use key_schedule::{MAX_IN_GRACE, RotationNotice, UsedInGrace};
pub use key_secrets::{MAX_ENDED_SECRETS, Rotation};
pub use key_tokens::{MAX_WAITING, WaitingToken};
pub use key_usage::{
    LATENCY_BOUNDS_US, LATENCY_BUCKETS, LastUse, MAX_TOUCHED, MAX_USAGE_BATCH, MAX_USAGE_ROWS,
    UsageRow,
};
pub use keys::{KeyQuery, KeyRow, KeyState};
pub use keyspaces::KeyspaceDeletion;
pub use members::{MemberPut, NamedMember};
pub use messages::{MessageFilter, MessageQuery};
pub use operations::Operation;
pub use page::{Order, Page, PageQuery};
pub use partitions::Partition;
pub use replays::{
    Candidate, Chain, Link, MAX_COUNTED, MAX_LINKS, MAX_SAMPLE, MAX_SUMMED, NewReplay, Preview,
    RepeatedError, ReplayCounts, ReplaySums, Resend,
};
pub use retention::AppRetention;
pub use routes::{LiveSecret, Route};
pub use secrets::{MAX_HISTORY, PolicyOf, PublicKey, Rotations, SecretCheck, SecretRecord};
pub use sessions::{MAX_LABELS, Refreshed, SessionFacts};
pub use tasks::{Step, TaskChange, TaskVerb};
pub use usage::Counts;
pub use users::UserChange;
pub use vaults::{SealedUnder, VaultDrop};
pub use wake::Wake;
pub use windows::WindowHold;

/// A message on its way: what a deliverer needs of it.
#[derive(Debug)]
pub struct Envelope {
    pub message_id: model::MessageId,
    pub event_type: String,
    pub payload: Option<bytes::Bytes>,
    pub content_type: Option<String>,
}

impl Envelope {
    /// Of a message that is no longer there.
    pub(crate) const fn gone(message_id: model::MessageId) -> Self {
        Self { message_id, event_type: String::new(), payload: None, content_type: None }
    }
}

/// A delivery that this process holds the lease of.
#[derive(Clone, Debug)]
pub struct Lease {
    pub delivery_id: model::DeliveryId,
    pub route: Arc<Route>,
    pub envelope: Arc<Envelope>,
    /// Attempts already made.
    pub attempts: u32,
    pub trigger: model::delivery::Trigger,
    pub until: model::Timestamp,
    /// It goes out to see whether its endpoint works again.
    pub probe: bool,
    /// Whether it has a slot, and the bytes it is counted with: the store's own books.
    pub(crate) admission: Admission,
    pub(crate) held_bytes: usize,
}

/// How a store is opened.
#[derive(Debug)]
pub struct StoreOptions {
    /// `sqlite:…` or `postgres://…`
    pub url: String,
    pub read_connections: u32,
    pub vault: Vault,
    pub clock: Clock,
    pub entropy: Entropy,
    /// Deliveries under way at one time, in all and per endpoint.
    pub max_in_flight: u32,
    pub endpoint_max_in_flight: u32,
    /// Of the instance; event types and endpoints may have their own.
    pub retry_schedule: RetrySchedule,
    /// Whether this process delivers: then fresh deliveries are leased to it at once.
    pub delivers: bool,
    /// When breakers open; apps and endpoints may have their own.
    pub breaker: Thresholds,
    /// By what secrets are renewed whose endpoints have no policy of their own.
    pub secret_policy: Option<SecretPolicy>,
    /// How long what grows is kept; apps may have their own.
    pub retention: model::retention::Retention,
}

/// How long a process may work on a delivery. Longer than any attempt with its settling.
pub const LEASE_MS: u64 = 60_000;

#[derive(Clone)]
pub struct Store(Arc<Inner>);

pub(crate) struct Inner {
    db: db::Db,
    url: String,
    vault: Vault,
    audit: model::audit::Chain,
    clock: Clock,
    entropy: Entropy,
    /// Names this process in leases.
    node: i64,
    delivers: bool,
    thresholds: Arc<Thresholds>,
    secret_policy: Option<SecretPolicy>,
    retention: model::retention::Retention,
    slots: slots::Slots,
    routes: routes::RouteCache,
    schedules: schedules::Schedules,
    operations: operations::Operations,
    wake: Wake,
    /// Counts changes of keys that this process made or heard of.
    key_rings: tokio::sync::watch::Sender<u64>,
    hot: hot::Queues,
    node_lock: tokio::sync::Mutex<Option<sqlx::PgConnection>>,
}

/// Only real faults; what a lookup does not find is an `Option`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error(
        "the database is at schema {version}, this binary needs {newest}: run `doorbell migrate`"
    )]
    SchemaBehind { version: i64, newest: i64 },
    #[error(
        "the database is at schema {version}, newer than this binary knows ({newest}): use a newer binary"
    )]
    SchemaAhead { version: i64, newest: i64 },
    #[error("stored {what} is not readable: {why}")]
    Corrupt { what: &'static str, why: String },
    #[error(transparent)]
    Vault(#[from] model::vault::VaultError),
    #[error(
        "the database was written with other instance secrets: use the data folder, or the secrets file, that belongs to it"
    )]
    OtherInstance,
    #[error(
        "values in the database are sealed under version {0} of the master key, which this process's secrets file does not have: give it the file that `doorbell vault rotate` wrote"
    )]
    VaultVersionMissing(u8),
    #[error("the store is shutting down")]
    Closed,
}

impl StoreError {
    /// The constraint that refused a write, as `table.column`-like text of either database.
    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Whether the database read what it was told and does not want it: data that it cannot keep
    /// (SQLSTATE 22) or that breaks a constraint (23). To say it again is in vain.
    pub(crate) fn is_refusal(&self) -> bool {
        use rusqlite::ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
            }
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => {
                matches!(error.code, ConstraintViolation | TooBig | TypeMismatch)
            }
            _ => false,
        }
    }
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl Store {
    /// Opens the database without touching its schema. Call [`Store::migrate`] or
    /// [`Store::check_schema`] next, then [`Store::start`].
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub async fn open(options: StoreOptions) -> Result<Self> {
        let db = db::Db::open(&options.url, options.read_connections).await?;
        let node = i64::try_from(options.entropy.next_u64() >> 1).unwrap_or(1);
        let (queues, hot_work) = hot::queues();
        let store = Self(Arc::new(Inner {
            db,
            url: options.url,
            audit: model::audit::Chain::new(&options.vault.derive("audit log")),
            vault: options.vault,
            wake: Wake::new(&options.clock),
            clock: options.clock,
            entropy: options.entropy,
            node,
            delivers: options.delivers,
            thresholds: Arc::new(options.breaker),
            secret_policy: options.secret_policy,
            retention: options.retention,
            slots: slots::Slots::new(options.max_in_flight, options.endpoint_max_in_flight),
            routes: routes::RouteCache::new(),
            schedules: schedules::Schedules::new(options.retry_schedule),
            operations: operations::Operations::new(),
            key_rings: tokio::sync::watch::Sender::new(0),
            hot: queues,
            node_lock: tokio::sync::Mutex::new(None),
        }));
        hot::spawn(&store, hot_work);
        Ok(store)
    }

    /// Applies pending migrations; answers how many.
    ///
    /// # Errors
    /// When the schema is newer than this binary, or a statement fails.
    pub async fn migrate(&self) -> Result<usize> {
        let applied = migrate::migrate(&self.0.db, self.now().0).await?;
        self.make_partitions().await?;
        Ok(applied)
    }

    /// # Errors
    /// When the schema is not exactly the one this binary knows.
    pub async fn check_schema(&self) -> Result<()> {
        migrate::check(&self.0.db).await
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn ping(&self) -> Result<()> {
        let one: i32 = db::on!(self.0.db.reader(), c => {
            sqlx::query_scalar("select cast(1 as integer)").fetch_one(c).await
        })?;
        debug_assert_eq!(one, 1);
        Ok(())
    }

    /// Finishes what was handed in and closes the database. Nothing can be handed in after.
    pub async fn close(&self) {
        self.0.hot.close().await;
        self.leave().await;
        self.0.db.close().await;
    }

    /// A key for a purpose outside the database, the same on every node of the instance.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; model::vault::KEY_LEN] {
        self.0.vault.derive(purpose)
    }

    #[must_use]
    pub fn wake(&self) -> &Wake {
        &self.0.wake
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    #[must_use]
    pub fn entropy(&self) -> &Entropy {
        &self.0.entropy
    }

    pub(crate) fn now(&self) -> model::Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn db(&self) -> &db::Db {
        &self.0.db
    }

    pub(crate) fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.0))
    }
}

/// A store as its own writers know it: they work for those who have it, and end with the last of
/// them. A process whose store was dropped and not closed is not kept from ending.
#[derive(Clone)]
pub(crate) struct WeakStore(std::sync::Weak<Inner>);

impl WeakStore {
    pub fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(Store)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}
