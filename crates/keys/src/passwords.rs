//! The passwords of Doorbell's own users: argon2id, on few threads with a short queue.
//!
//! A check always costs one run, whether there is such a user or not: a caller learns nothing
//! from the time. When too many wait the next one is refused at once, so that a flood of logins
//! takes two threads and 38 MiB, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::Entropy;
use model::access::MAX_PASSWORD_BYTES;
use tokio::sync::Semaphore;

/// Runs at one time; each holds [`PasswordCost::memory_kib`].
pub const MAX_RUNNING: usize = 2;
/// Runs that may wait; one more is refused.
pub const MAX_WAITING: usize = 16;
const SALT_LEN: usize = 16;

/// What one hash costs. The default is OWASP's: 19 MiB, two passes, one lane.
#[derive(Clone, Copy, Debug)]
pub struct PasswordCost {
    pub memory_kib: u32,
    pub passes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1_024, passes: 2 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("too many passwords are being checked")]
    Busy,
    #[error("the password hash failed")]
    Failed,
}

#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    argon2: Argon2<'static>,
    entropy: Entropy,
    running: Arc<Semaphore>,
    under_way: AtomicUsize,
    /// A hash of no password, at the same cost.
    nobodys: String,
}

impl Passwords {
    /// # Errors
    /// When argon2 does not take the cost.
    pub fn new(cost: PasswordCost, entropy: Entropy) -> Result<Self, PasswordError> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None);
        let params = params.map_err(|_| PasswordError::Failed)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobodys = nobodys(cost, &entropy);
        let running = Arc::new(Semaphore::new(MAX_RUNNING));
        Ok(Self(Arc::new(Inner {
            argon2,
            entropy,
            running,
            under_way: AtomicUsize::new(0),
            nobodys,
        })))
    }

    /// # Errors
    /// When too many wait.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let mut salt = [0; SALT_LEN];
        self.0.entropy.fill(&mut salt);
        let (argon2, password) = (self.0.argon2.clone(), password.to_owned());
        self.run(move || hash(&argon2, password.as_bytes(), &salt)).await?
    }

    /// Whether the password is the one that was hashed; without a hash it is never, at the same
    /// cost.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn check(&self, password: &str, stored: Option<&str>) -> Result<bool, PasswordError> {
        let is_somebodys = stored.is_some();
        let stored = stored.unwrap_or(&self.0.nobodys).to_owned();
        // A text that cannot be a password is compared like any other, but not whole.
        let end = password.floor_char_boundary(MAX_PASSWORD_BYTES + 1);
        let password = password[..end].to_owned();
        let argon2 = self.0.argon2.clone();
        let is_right = self
            .run(move || argon2.verify_password(password.as_bytes(), stored.as_str()).is_ok())
            .await?;
        Ok(is_right && is_somebodys)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = Place::take(&self.0.under_way)?;
        let running = self.0.running.clone().acquire_owned().await;
        let running = running.map_err(|_| PasswordError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Held by the work itself: whoever waits for it may be gone before it ends.
            drop(running);
            done
        });
        done.await.map_err(|_| PasswordError::Failed)
    }
}

/// What no password has as its hash: random bytes in the format of one, so that nothing has to be
/// hashed at the start.
fn nobodys(cost: PasswordCost, entropy: &Entropy) -> String {
    let mut random = [0; SALT_LEN + Params::DEFAULT_OUTPUT_LEN];
    entropy.fill(&mut random);
    let (salt, output) = random.split_at(SALT_LEN);
    let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
    format!("$argon2id$v=19$m={},t={},p=1${salt}${output}", cost.memory_kib, cost.passes)
}

fn hash(argon2: &Argon2<'_>, password: &[u8], salt: &[u8]) -> Result<String, PasswordError> {
    let hash = argon2.hash_password_with_salt(password, salt);
    hash.map(|hash| hash.to_string()).map_err(|_| PasswordError::Failed)
}

struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(under_way: &'a AtomicUsize) -> Result<Self, PasswordError> {
        let taken = under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            (n < MAX_RUNNING + MAX_WAITING).then_some(n + 1)
        });
        taken.map(|_| Self(under_way)).map_err(|_| PasswordError::Busy)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        let cost = PasswordCost { memory_kib: 16, passes: 1 };
        Passwords::new(cost, Entropy::seeded(1)).unwrap()
    }

    #[tokio::test]
    async fn knows_its_own_hashes() {
        let passwords = passwords();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=16,t=1,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse").await.unwrap(), "a salt each");
        assert_eq!(passwords.check("correct horse", Some(&hash)).await, Ok(true));
        for wrong in ["", "correct horsf", "correct horse ", "Correct horse"] {
            assert_eq!(passwords.check(wrong, Some(&hash)).await, Ok(false), "{wrong}");
        }
        assert_eq!(passwords.check("correct horse", Some("not a hash")).await, Ok(false));
        assert_eq!(passwords.check("correct horse", None).await, Ok(false));
        let nobodys = &passwords.0.nobodys;
        assert_eq!((nobodys.len(), &nobodys[..27]), (hash.len(), &hash[..27]), "the same cost");
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let passwords = passwords();
        let places: Vec<_> = (0..MAX_RUNNING + MAX_WAITING)
            .map(|_| Place::take(&passwords.0.under_way).unwrap())
            .collect();
        assert_eq!(passwords.check("x", None).await, Err(PasswordError::Busy));
        drop(places);
        assert_eq!(passwords.check("x", None).await, Ok(false));
    }
}
