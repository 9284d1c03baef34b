//! Encryption at rest: AES-256-GCM under the instance's master key, which has versions.
//!
//! A sealed value is `version (1) | nonce (12) | ciphertext and tag`. The context (which table,
//! which row) is authenticated, so that a sealed value moved to another row does not open.
//!
//! A vault opens under every version it holds and seals under one of them: the newest that every
//! process of the instance knows. Which one that is, the store finds out ([`Vault::seal_under`]);
//! until then it is the oldest, which everybody knows. What is derived ([`Vault::derive`]) comes
//! from a key that does not change with the versions: sessions and the audit log outlive them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use crate::Entropy;

pub const KEY_LEN: usize = 32;
/// Versions of one master key held at the most.
pub const MAX_VERSIONS: usize = 16;
/// The newest version there can be: it is one byte of what is sealed.
pub const MAX_VERSION: u8 = u8::MAX;
const NONCE_LEN: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("the vault key must be {KEY_LEN} bytes")]
    BadKey,
    #[error("a vault needs 1 to {MAX_VERSIONS} versions of its key, each counted from 1")]
    BadVersions,
    #[error("sealed value does not open: other instance key, other row, or damaged")]
    DoesNotOpen,
    #[error(
        "sealed value is under version {0} of the master key, which this process does not have"
    )]
    UnknownVersion(u8),
}

pub struct Vault {
    keys: RwLock<Keys>,
    root: hmac::Key,
    entropy: Entropy,
}

struct Keys {
    by_version: BTreeMap<u8, LessSafeKey>,
    seals: u8,
}

impl Vault {
    /// Of one key, its first version.
    ///
    /// # Errors
    /// When the key has another length.
    pub fn new(key: &[u8], entropy: Entropy) -> Result<Self, VaultError> {
        let key = key.try_into().map_err(|_| VaultError::BadKey)?;
        Self::with_versions(&key, &[(1, key)], entropy)
    }

    /// `root` is what keys for other purposes come from; each version has its number.
    ///
    /// # Errors
    /// When there are no versions, or too many.
    pub fn with_versions(
        root: &[u8; KEY_LEN],
        versions: &[(u8, [u8; KEY_LEN])],
        entropy: Entropy,
    ) -> Result<Self, VaultError> {
        let by_version = read(versions)?;
        let seals = *by_version.keys().next().ok_or(VaultError::BadVersions)?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, root);
        Ok(Self { keys: RwLock::new(Keys { by_version, seals }), root, entropy })
    }

    /// Holds these versions besides those it has.
    ///
    /// # Errors
    /// When it would hold too many.
    pub fn learn(&self, versions: &[(u8, [u8; KEY_LEN])]) -> Result<(), VaultError> {
        let learned = read(versions)?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let new = learned.keys().filter(|version| !keys.by_version.contains_key(version)).count();
        if keys.by_version.len() + new > MAX_VERSIONS {
            return Err(VaultError::BadVersions);
        }
        for (version, key) in learned {
            keys.by_version.entry(version).or_insert(key);
        }
        Ok(())
    }

    /// # Errors
    /// When it does not hold that version.
    pub fn seal_under(&self, version: u8) -> Result<(), VaultError> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if !keys.by_version.contains_key(&version) {
            return Err(VaultError::UnknownVersion(version));
        }
        keys.seals = version;
        Ok(())
    }

    /// The version that it seals under.
    #[must_use]
    pub fn seals_under(&self) -> u8 {
        self.keys().seals
    }

    #[must_use]
    pub fn newest(&self) -> u8 {
        let keys = self.keys();
        keys.by_version.keys().next_back().copied().unwrap_or(keys.seals)
    }

    #[must_use]
    pub fn knows(&self, version: u8) -> bool {
        self.keys().by_version.contains_key(&version)
    }

    /// The version that a value was sealed under.
    #[must_use]
    pub fn version_of(sealed: &[u8]) -> Option<u8> {
        sealed.first().copied()
    }

    /// A key for another purpose, which tells nothing about this one.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; KEY_LEN] {
        let mut derived = [0; KEY_LEN];
        derived.copy_from_slice(hmac::sign(&self.root, purpose.as_bytes()).as_ref());
        derived
    }

    /// # Errors
    /// When the value is too long for the cipher.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.seal_as(self.seals_under(), context, plain)
    }

    /// Under one version, whichever seals otherwise.
    ///
    /// # Errors
    /// When the value is too long for the cipher, or the version is not known.
    pub fn seal_as(&self, version: u8, context: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let mut out = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        let keys = self.keys();
        let key = keys.by_version.get(&version).ok_or(VaultError::UnknownVersion(version))?;
        key.seal_in_place_append_tag(unique, Aad::from(context.as_bytes()), &mut out)
            .map_err(|_| VaultError::DoesNotOpen)?;
        Ok([&[version], &nonce[..], &out].concat())
    }

    /// # Errors
    /// When it was sealed under another key or context, or was changed.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (&version, rest) = sealed.split_first().ok_or(VaultError::DoesNotOpen)?;
        if rest.len() < NONCE_LEN {
            return Err(VaultError::DoesNotOpen);
        }
        let (nonce, ciphertext) = rest.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::DoesNotOpen)?;
        let mut out = ciphertext.to_vec();
        let keys = self.keys();
        let key = keys.by_version.get(&version).ok_or(VaultError::UnknownVersion(version))?;
        let plain = key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut out)
            .map_err(|_| VaultError::DoesNotOpen)?;
        Ok(plain.to_vec())
    }

    /// The value under the version that seals now; none when it is under that one already.
    ///
    /// # Errors
    /// When it does not open.
    pub fn reseal(&self, context: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        if Self::version_of(sealed) == Some(self.seals_under()) {
            return Ok(None);
        }
        let plain = self.open(context, sealed)?;
        self.seal(context, &plain).map(Some)
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(versions: &[(u8, [u8; KEY_LEN])]) -> Result<BTreeMap<u8, LessSafeKey>, VaultError> {
    if versions.len() > MAX_VERSIONS || versions.iter().any(|(version, _)| *version == 0) {
        return Err(VaultError::BadVersions);
    }
    let key = |(version, key): &(u8, [u8; KEY_LEN])| {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| VaultError::BadKey)?;
        Ok((*version, LessSafeKey::new(key)))
    };
    versions.iter().map(key).collect()
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_place_and_unchanged() -> Result<(), VaultError> {
        let vault = Vault::new(&[7; KEY_LEN], Entropy::seeded(1))?;
        let sealed = vault.seal("secret/ep_1", b"whsec_x")?;
        assert!(!sealed.windows(7).any(|window| window == b"whsec_x"));
        assert_eq!(vault.open("secret/ep_1", &sealed)?, b"whsec_x");
        assert_eq!(vault.open("secret/ep_2", &sealed), Err(VaultError::DoesNotOpen));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open("secret/ep_1", &changed).is_err());
        }
        assert_eq!(vault.open("secret/ep_1", &[]), Err(VaultError::DoesNotOpen));
        Ok(())
    }

    #[test]
    fn a_new_version_seals_when_it_is_told_to_and_the_old_one_opens_on() -> Result<(), VaultError> {
        let (one, two) = ((1, [7; KEY_LEN]), (2, [8; KEY_LEN]));
        let vault = Vault::new(&one.1, Entropy::seeded(1))?;
        let derived = vault.derive("sessions");
        let old = vault.seal("a", b"x")?;
        assert_eq!(vault.seal_under(2), Err(VaultError::UnknownVersion(2)));
        vault.learn(&[one, two])?;
        assert_eq!((vault.newest(), vault.seals_under()), (2, 1));
        assert_eq!(vault.reseal("a", &old)?, None);
        vault.seal_under(2)?;
        let new = vault.reseal("a", &old)?.expect("another version");
        assert_eq!((Vault::version_of(&old), Vault::version_of(&new)), (Some(1), Some(2)));
        assert_eq!((vault.open("a", &old)?, vault.open("a", &new)?), (b"x".into(), b"x".into()));
        let later = Vault::with_versions(&one.1, &[two], Entropy::seeded(2))?;
        assert_eq!(later.open("a", &new)?, b"x");
        assert_eq!(later.open("a", &old), Err(VaultError::UnknownVersion(1)));
        assert_eq!(later.derive("sessions"), derived);
        Ok(())
    }

    #[test]
    fn versions_are_few_and_counted_from_one() {
        let version = |n: u8| (n, [n; KEY_LEN]);
        let make = |versions: &[(u8, [u8; KEY_LEN])]| {
            Vault::with_versions(&[1; KEY_LEN], versions, Entropy::seeded(1)).map(drop)
        };
        assert_eq!(make(&[]), Err(VaultError::BadVersions));
        assert_eq!(make(&[version(0)]), Err(VaultError::BadVersions));
        let many: Vec<_> = (1..=17).map(version).collect();
        assert_eq!(make(&many), Err(VaultError::BadVersions));
        assert_eq!(make(&many[..16]), Ok(()));
    }
}
