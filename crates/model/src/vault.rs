//! Encryption at rest: AES-256-GCM under the instance's key.
//!
//! A sealed value is `key id (1) | nonce (12) | ciphertext and tag`. The context (which table,
//! which row) is authenticated, so that a sealed value moved to another row does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use crate::Entropy;

pub const KEY_LEN: usize = 32;
const KEY_ID: u8 = 1;
const NONCE_LEN: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("the vault key must be {KEY_LEN} bytes")]
    BadKey,
    #[error("sealed value does not open: other instance key, other row, or damaged")]
    DoesNotOpen,
}

pub struct Vault {
    key: LessSafeKey,
    root: hmac::Key,
    entropy: Entropy,
}

impl Vault {
    /// # Errors
    /// When the key has another length.
    pub fn new(key: &[u8], entropy: Entropy) -> Result<Self, VaultError> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, key);
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| VaultError::BadKey)?;
        Ok(Self { key: LessSafeKey::new(key), root, entropy })
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
        let mut nonce = [0; NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let mut out = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(unique, Aad::from(context.as_bytes()), &mut out)
            .map_err(|_| VaultError::DoesNotOpen)?;
        Ok([&[KEY_ID], &nonce[..], &out].concat())
    }

    /// # Errors
    /// When it was sealed under another key or context, or was changed.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (&key_id, rest) = sealed.split_first().ok_or(VaultError::DoesNotOpen)?;
        if key_id != KEY_ID || rest.len() < NONCE_LEN {
            return Err(VaultError::DoesNotOpen);
        }
        let (nonce, ciphertext) = rest.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::DoesNotOpen)?;
        let mut out = ciphertext.to_vec();
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut out)
            .map_err(|_| VaultError::DoesNotOpen)?;
        Ok(plain.to_vec())
    }
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
            assert_eq!(vault.open("secret/ep_1", &changed), Err(VaultError::DoesNotOpen));
        }
        assert_eq!(vault.open("secret/ep_1", &[]), Err(VaultError::DoesNotOpen));
        Ok(())
    }
}
