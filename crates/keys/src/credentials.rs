//! From a token to its credential: out of memory at once, out of the database when it must be.
//!
//! What the filter does not know is asked for only within the budget of [`Probes`]; reads are
//! bounded in number and time, and one lookup is read by one caller while the others wait for it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use model::Clock;
use model::key::pepper::Peppers;
use model::key::{KeySecret, token};
use store::{Credential, Store};
use tokio::sync::Semaphore;

use crate::entry::{Checker, Entry, Refused, Tampered};
use crate::flights::Flights;
use crate::hasher::Hasher;
use crate::kinds::Kinds;
use crate::memory::{Lookup, Memory};
use crate::probes::{ProbeBudget, Probes};
use crate::stored::Comparison;
use crate::tampering::Tampering;

/// Reads of credentials under way at one time.
const MAX_READS: usize = 16;
/// A caller waits no longer for the database.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// A reading that is overtaken by changes is repeated so often, and then not held.
const MAX_READINGS: usize = 4;

/// It cannot be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

/// What a token is looked for by.
pub(crate) struct Asked<'a> {
    pub token: &'a str,
    /// Under the newest pepper.
    pub lookup: Lookup,
    /// Who is charged when it is unknown.
    pub peer: Option<IpAddr>,
}

pub(crate) type Found = Result<Option<Arc<Entry>>, Unavailable>;

pub(crate) struct Credentials {
    pub store: Store,
    pub peppers: Arc<Peppers>,
    pub memory: Memory,
    pub checker: Checker,
    pub hasher: Hasher,
    pub tampering: Tampering,
    kinds: RwLock<Arc<Kinds>>,
    probes: Probes,
    /// One for each salted candidate: password hashes are the dearest that a stranger can cause.
    salted: Probes,
    /// Reads for tokens that are of no key.
    probed: AtomicU64,
    reads: Semaphore,
    flights: Flights<Lookup, Found>,
    clock: Clock,
}

/// Comparisons with salted imports.
const SALTED_BUDGET: ProbeBudget = ProbeBudget { per_second: 16, per_address_per_second: 8 };

/// Where the row of a token may be: each list begins with what the newest pepper makes of it;
/// rows that wait for their upgrade are still under what an older one made.
struct Lookups {
    own: Vec<Lookup>,
    imported: Vec<Vec<Lookup>>,
}

impl Lookups {
    fn newest(&self) -> impl Iterator<Item = &Lookup> {
        self.own.first().into_iter().chain(self.imported.iter().filter_map(|of| of.first()))
    }

    /// In the order of looking. Between two looks a row may be carried on to the newest pepper:
    /// where there are older ones, the newest is looked at once more.
    fn all(&self) -> impl Iterator<Item = &Lookup> {
        let lists = || std::iter::once(&self.own).chain(&self.imported);
        let again = lists().filter(|list| list.len() > 1).filter_map(|list| list.first());
        lists().flatten().chain(again)
    }
}

impl Credentials {
    pub fn new(store: Store, peppers: Arc<Peppers>, hasher: Hasher, budget: ProbeBudget) -> Self {
        let clock = store.clock().clone();
        let now = clock.elapsed();
        Self {
            memory: Memory::new(),
            checker: Checker::new(peppers.clone()),
            hasher,
            tampering: Tampering::new(store.clone()),
            kinds: RwLock::default(),
            probes: Probes::new(budget, now),
            salted: Probes::new(SALTED_BUDGET, now),
            probed: AtomicU64::new(0),
            reads: Semaphore::new(MAX_READS),
            flights: Flights::new(),
            clock,
            store,
            peppers,
        }
    }

    pub fn kinds(&self) -> Arc<Kinds> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub async fn load_kinds(&self) -> store::Result<()> {
        let kinds = Arc::new(Kinds::load(&self.store).await?);
        *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = kinds;
        Ok(())
    }

    pub fn probes(&self) -> u64 {
        self.probed.load(Ordering::Relaxed)
    }

    /// What memory does not have.
    pub async fn ask(&self, asked: &Asked<'_>) -> Found {
        if self.memory.is_absent(&asked.lookup) {
            return Ok(None);
        }
        self.flights.join(asked.lookup, self.look_up(asked)).await
    }

    /// As the database has it now, whatever memory has. For a token that was good before.
    pub async fn ask_again(&self, asked: &Asked<'_>) -> Found {
        let lookups = self.lookups(asked);
        self.read_and_hold(asked, &lookups).await
    }

    /// As the database has it now, of a token that may be anybody's: within the budget of
    /// unknown ones, and when that is spent it cannot be told.
    pub async fn ask_afresh(&self, asked: &Asked<'_>) -> Found {
        self.look_up_within(asked, Err(Unavailable)).await
    }

    async fn look_up(&self, asked: &Asked<'_>) -> Found {
        self.look_up_within(asked, Ok(None)).await
    }

    async fn look_up_within(&self, asked: &Asked<'_>, when_spent: Found) -> Found {
        let lookups = self.lookups(asked);
        // While the filter is loaded, reads are bounded by their number alone.
        let passes = lookups.newest().any(|lookup| self.memory.may_live(lookup) != Some(false));
        let is_known = passes && !self.memory.is_absent(&asked.lookup);
        if !is_known && !self.probes.take(asked.peer, self.clock.elapsed()) {
            return when_spent;
        }
        let found = self.read_and_hold(asked, &lookups).await;
        let is_missing = matches!(found, Ok(None));
        if !is_known || is_missing {
            self.probed.fetch_add(1, Ordering::Relaxed);
        }
        if is_known && is_missing {
            self.probes.charge(self.clock.elapsed());
        }
        found
    }

    /// The lookups that the token's row may have: its own, and those of imports.
    fn lookups(&self, asked: &Asked<'_>) -> Lookups {
        let kinds = self.kinds();
        Lookups {
            own: [asked.lookup]
                .into_iter()
                .chain(self.peppers.older_lookups(asked.token))
                .collect(),
            imported: kinds.lookups(&self.peppers, asked.token),
        }
    }

    async fn read_and_hold(&self, asked: &Asked<'_>, lookups: &Lookups) -> Found {
        let mut last = None;
        for _ in 0..MAX_READINGS {
            let mark = self.memory.changes.mark();
            let Some(credential) = self.read(asked, lookups).await? else {
                self.memory.remove(&asked.lookup);
                if self.memory.note_absent(asked.lookup, mark) {
                    return Ok(None);
                }
                last = None;
                continue;
            };
            let Some(entry) = self.check(credential)? else {
                self.memory.remove(&asked.lookup);
                self.memory.note_absent(asked.lookup, mark);
                return Ok(None);
            };
            if self.memory.hold(asked.lookup, &entry, mark) {
                return Ok(Some(entry));
            }
            last = Some(entry);
        }
        Ok(last)
    }

    /// None when a tag is wrong; that is on record then.
    pub fn check(&self, credential: Credential) -> Found {
        match self.checker.entry(credential, self.clock.elapsed()) {
            Ok(entry) => Ok(Some(Arc::new(entry))),
            Err(Refused::Newer) => {
                self.refuse(Refused::Newer);
                Err(Unavailable)
            }
            Err(refused) => {
                self.refuse(refused);
                Ok(None)
            }
        }
    }

    pub fn refuse(&self, refused: Refused) {
        match refused {
            Refused::Tampered(tampered) => self.report(tampered),
            Refused::Newer => tracing::error!(
                "a row is under a pepper that this process does not know: start it again with \
                 the instance's newest secrets file"
            ),
        }
    }

    pub fn report(&self, tampered: Tampered) {
        self.tampering.report(tampered, self.clock.now());
    }

    async fn read(
        &self,
        asked: &Asked<'_>,
        lookups: &Lookups,
    ) -> Result<Option<Credential>, Unavailable> {
        let reading = async {
            for lookup in lookups.all() {
                if let Some(found) = self.store.credential_by_lookup(lookup).await? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        };
        match self.bounded(reading).await? {
            Some(found) => Ok(Some(found)),
            None => self.read_salted(asked).await,
        }
    }

    /// Imports without a lookup: a few candidates with the same start, each a password hash.
    /// Tokens in our own format are found by their lookup or not at all.
    async fn read_salted(&self, asked: &Asked<'_>) -> Result<Option<Credential>, Unavailable> {
        if token::check(asked.token).is_ok() {
            return Ok(None);
        }
        let start = start_of(asked.token);
        for keyspace in self.kinds().salted() {
            let candidates = self.store.credentials_by_start(keyspace, start);
            for credential in self.bounded(candidates).await? {
                if !self.salted.take(asked.peer, self.clock.elapsed()) {
                    return Err(Unavailable);
                }
                if self.is_hash_of(&credential.secret.value, asked).await? {
                    return Ok(Some(credential));
                }
            }
        }
        Ok(None)
    }

    /// Few read at one time, and none for long.
    async fn bounded<T>(
        &self,
        reading: impl Future<Output = store::Result<T>>,
    ) -> Result<T, Unavailable> {
        let placed = async {
            let _place = self.reads.acquire().await.map_err(|_| Unavailable)?;
            reading.await.map_err(unavailable)
        };
        tokio::time::timeout(READ_TIMEOUT, placed).await.unwrap_or(Err(Unavailable))
    }

    /// Whether the stored hash is of the token; true where the lookup was all there is.
    pub async fn is_hash_of(
        &self,
        secret: &KeySecret,
        asked: &Asked<'_>,
    ) -> Result<bool, Unavailable> {
        let version = secret.pepper_version;
        let compared = Comparison::of(&secret.hash, asked.token, &self.peppers, version);
        let Some(comparison) = compared else { return Ok(true) };
        let checked = self.hasher.check(secret.id, asked.lookup, comparison).await;
        checked.map_err(|_| Unavailable)
    }
}

/// Imports without a lookup are found by so many characters.
pub(crate) const START_CHARS: usize = 8;

pub(crate) fn start_of(token: &str) -> &str {
    let end = token.char_indices().nth(START_CHARS).map_or(token.len(), |(at, _)| at);
    &token[..end]
}

pub(crate) fn unavailable(error: store::StoreError) -> Unavailable {
    tracing::warn!(%error, "a key cannot be looked up");
    Unavailable
}
