//! What is done now and then while a good token is at hand, in the background and only when
//! nobody waits for a password hash: the sample, and newer hashes for old ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::key::pepper::Peppers;
use model::key::{KeySecret, token};

use crate::changes::Changed;
use crate::credentials::{Asked, Credentials};
use crate::entry::{Entry, Tampered};
use crate::{Keys, KeysError, stored};

/// One good verification in so many is looked at more closely,
const SAMPLE: u64 = 1_000;
/// but no more often than this: a hash costs as much as ten thousand verifications.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);

/// When the latest sample was taken.
#[derive(Default)]
pub(crate) struct Sampling {
    /// Seconds of the clock's elapsed time; 0: never.
    at_s: AtomicU64,
}

impl Sampling {
    /// Whether to take one now; says so to one caller.
    fn is_due(&self, elapsed: Duration) -> bool {
        let (now_s, before_s) = (elapsed.as_secs().max(1), self.at_s.load(Ordering::Relaxed));
        let is_due = before_s == 0 || now_s >= before_s + SAMPLE_EVERY.as_secs();
        is_due
            && self
                .at_s
                .compare_exchange(before_s, now_s, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Keys {
    /// After a good verification.
    pub(crate) fn look_after(&self, token: &str, entry: &Arc<Entry>) {
        let is_sampled = self.0.stats.valid().is_multiple_of(SAMPLE)
            && self.0.sampling.is_due(self.0.store.clock().elapsed());
        let is_old = self.wants_new_hash(entry) && !entry.is_rehashed.load(Ordering::Relaxed);
        if !(is_sampled || is_old) || !self.0.credentials.hasher.is_idle() {
            return;
        }
        if is_old && entry.is_rehashed.swap(true, Ordering::Relaxed) {
            return;
        }
        let (keys, token, entry) = (self.clone(), token.to_owned(), entry.clone());
        tokio::spawn(async move {
            let token = token::bare(&token);
            if is_sampled {
                keys.sample(token, &entry).await;
            }
            if is_old && let Err(error) = keys.renew_hash(token, &entry).await {
                tracing::warn!(%error, key = %entry.key.id, "its hash stays as it is");
                entry.is_rehashed.store(false, Ordering::Relaxed);
            }
        });
    }

    /// An import, or a hash under an older pepper. What may be guessed stays as it is.
    fn wants_new_hash(&self, entry: &Entry) -> bool {
        let secret = &entry.secret;
        let is_old = secret.pepper_version != self.0.peppers.version();
        stored::is_provisional(&secret.hash) || (is_old && !stored::is_weak(&secret.hash))
    }

    async fn sample(&self, token: &str, entry: &Entry) {
        let (credentials, secret) = (&self.0.credentials, &entry.secret);
        let asked = Asked { token, lookup: self.0.peppers.lookup(token), peer: None };
        if credentials.is_hash_of(secret, &asked).await == Ok(false) {
            credentials.report_hash(secret);
            credentials.memory.remove(&asked.lookup);
        }
    }

    /// Our own hash and index of the token in the place of the stored ones.
    async fn renew_hash(&self, token: &str, entry: &Entry) -> Result<(), KeysError> {
        let peppers = &self.0.peppers;
        let rows = self.0.store.secrets_of(entry.key.id).await?;
        let Some(before) = rows.into_iter().find(|row| row.value.id == entry.secret.id) else {
            return Ok(());
        };
        let before =
            self.ours(before, "secret", Peppers::check_secret, |row| row.id.to_string())?;
        let version = peppers.version();
        let prehash = peppers.prehash(token, version).ok_or(KeysError::Busy)?;
        let secret = KeySecret {
            lookup: Some(peppers.lookup(token)),
            hash: self.0.credentials.hasher.hash(prehash).await?,
            pepper_version: version,
            ..before.clone()
        };
        let renewed = self.sealer().secret(secret);
        if self.0.store.rehash_secret(&before.hash, &renewed).await? {
            self.apply(Changed::Key(entry.key.id)).await;
        }
        Ok(())
    }
}

impl Credentials {
    /// The row's tag is right and its hash is not of the token that its lookup is of.
    pub(crate) fn report_hash(&self, secret: &KeySecret) {
        self.report(Tampered { row: "secret", id: secret.id.to_string() });
    }
}
