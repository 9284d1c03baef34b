//! Password hashes, away from everybody else: a few threads, a short queue, and no two runs for
//! the same question at one time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use argon2::{Argon2, PasswordVerifier};
use model::{Entropy, KeySecretId};
use tokio::sync::Semaphore;

use crate::flights::Flights;
use crate::stored::Comparison;

/// Runs that may wait; one more is refused.
pub(crate) const MAX_WAITING: usize = 64;
/// The costliest imports that are taken.
pub(crate) const MAX_IMPORTED_BCRYPT_COST: u32 = 14;
pub(crate) const MAX_IMPORTED_ARGON2_KIB: u32 = 256 * 1_024;
pub(crate) const MAX_IMPORTED_ARGON2_PASSES: u32 = 10;

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// The same token against the same secret.
type Question = (KeySecretId, [u8; 32]);

pub(crate) struct Hasher {
    cost: u32,
    entropy: Entropy,
    threads: Arc<Semaphore>,
    under_way: AtomicUsize,
    max_under_way: usize,
    runs: AtomicU64,
    checks: Flights<Question, Result<bool, Busy>>,
}

impl Hasher {
    pub fn new(cost: u32, entropy: Entropy) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / 2).max(1);
        Self {
            cost,
            entropy,
            threads: Arc::new(Semaphore::new(threads)),
            under_way: AtomicUsize::new(0),
            max_under_way: threads + MAX_WAITING,
            runs: AtomicU64::new(0),
            checks: Flights::new(),
        }
    }

    /// How often a password hash was run, for whatever reason.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Nothing runs or waits: a good moment for what can be done at any time.
    pub fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// The hash of a peppered token.
    pub async fn hash(&self, prehash: String) -> Result<String, Busy> {
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        let cost = self.cost;
        let hash = self.run(move || {
            let bytes = bcrypt::non_truncating_hash_with_salt_bytes(prehash, cost, salt).ok()?;
            String::from_utf8(bytes.to_vec()).ok()
        });
        hash.await?.ok_or(Busy)
    }

    /// Whether they are equal. `lookup` names the token among the questions that are under way.
    pub async fn check(
        &self,
        secret: KeySecretId,
        lookup: [u8; 32],
        comparison: Comparison,
    ) -> Result<bool, Busy> {
        self.checks.join((secret, lookup), self.run(move || comparison.holds())).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let _place = Place::take(&self.under_way, self.max_under_way)?;
        let thread = self.threads.clone().acquire_owned().await.map_err(|_| Busy)?;
        self.runs.fetch_add(1, Ordering::Relaxed);
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Held by the work itself: whoever waits for it may be gone before it ends.
            drop(thread);
            done
        });
        done.await.map_err(|_| Busy)
    }
}

impl Comparison {
    fn holds(&self) -> bool {
        let Self { input, hash } = self;
        if hash.starts_with("$argon2") {
            return Argon2::default().verify_password(input.as_bytes(), hash.as_str()).is_ok();
        }
        // Another system's bcrypt may have cut a longer token off: so does this.
        bcrypt::verify(input, hash).unwrap_or(false)
    }
}

struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(under_way: &'a AtomicUsize, max: usize) -> Result<Self, Busy> {
        let taken = under_way
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1));
        taken.map(|_| Self(under_way)).map_err(|_| Busy)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    const COST: u32 = 4;

    fn hasher() -> (Hasher, KeySecretId) {
        let entropy = Entropy::seeded(1);
        let secret = KeySecretId::new(Timestamp(1), &entropy);
        (Hasher::new(COST, entropy), secret)
    }

    fn pair(input: &str, hash: &str) -> Comparison {
        Comparison { input: input.to_owned(), hash: hash.to_owned() }
    }

    #[tokio::test]
    async fn tells_its_own_hashes_apart() {
        let (hasher, secret) = hasher();
        let hash = hasher.hash("peppered".to_owned()).await.unwrap();
        assert!(hash.starts_with("$2b$04$"));
        assert_ne!(hash, hasher.hash("peppered".to_owned()).await.unwrap(), "a salt each");
        assert_eq!(hasher.check(secret, [0; 32], pair("peppered", &hash)).await, Ok(true));
        assert_eq!(hasher.check(secret, [1; 32], pair("other", &hash)).await, Ok(false));
        assert_eq!(hasher.check(secret, [2; 32], pair("peppered", "$2b$04$")).await, Ok(false));
    }

    #[tokio::test]
    async fn knows_the_hashes_of_others() {
        let (hasher, secret) = hasher();
        // Published vectors: of crypt_blowfish, and of argon2's reference tool.
        for (input, hash) in [
            ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            ("U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            (
                "password",
                "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
                 $wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
            ),
        ] {
            assert_eq!(hasher.check(secret, [0; 32], pair(input, hash)).await, Ok(true), "{hash}");
            assert_eq!(hasher.check(secret, [1; 32], pair("other", hash)).await, Ok(false));
        }
    }

    #[tokio::test]
    async fn the_same_question_runs_once_and_a_full_queue_refuses() {
        let (hasher, secret) = hasher();
        let hash = hasher.hash("peppered".to_owned()).await.unwrap();
        let before = hasher.runs();
        let ask = |lookup| hasher.check(secret, [lookup; 32], pair("peppered", &hash));
        // No thread is free before all three have asked.
        let threads = u32::try_from(hasher.threads.available_permits()).unwrap();
        let threads = hasher.threads.acquire_many(threads).await.unwrap();
        let (a, b, c, ()) = tokio::join!(biased; ask(7), ask(7), ask(7), async { drop(threads) });
        assert_eq!((a, b, c), (Ok(true), Ok(true), Ok(true)));
        assert_eq!(hasher.runs() - before, 1);

        let places: Vec<_> = (0..hasher.max_under_way)
            .map(|_| Place::take(&hasher.under_way, hasher.max_under_way).unwrap())
            .collect();
        assert_eq!(ask(8).await, Err(Busy));
        drop(places);
        assert_eq!(ask(8).await, Ok(true));
    }
}
