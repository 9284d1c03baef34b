//! An access token to Doorbell itself: shown once, kept as a keyed hash.

use std::fmt;

use aws_lc_rs::hmac;

use crate::{Entropy, Timestamp, TokenId};

const PREFIX: &str = "dbl_";
const RANDOM_LEN: usize = 43;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub created_at: Timestamp,
}

/// A new token text: 256 random bits in base62. It has no suffix that the published clients
/// would read as a region.
#[must_use]
pub fn generate(entropy: &Entropy) -> String {
    let random = (0..RANDOM_LEN).map(|_| {
        let at = usize::try_from(entropy.below(62)).unwrap_or(0);
        char::from(ALPHABET[at])
    });
    PREFIX.chars().chain(random).collect()
}

/// The pepper under which token hashes are made; it never enters the database.
#[derive(Clone)]
pub struct Pepper(hmac::Key);

impl Pepper {
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    #[must_use]
    pub fn hash(&self, token: &str) -> [u8; 32] {
        self.hash_scoped(token.as_bytes(), "")
    }

    /// A keyed hash of bytes under a name.
    #[must_use]
    pub fn hash_scoped(&self, bytes: &[u8], name: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(name.as_bytes());
        context.update(&[0]);
        context.update(bytes);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_hash_by_pepper() {
        let entropy = Entropy::seeded(1);
        let (one, two) = (generate(&entropy), generate(&entropy));
        assert_ne!(one, two);
        assert_eq!(one.len(), PREFIX.len() + RANDOM_LEN);
        assert_ne!(Pepper::new(b"a").hash(&one), Pepper::new(b"b").hash(&one));
        assert_eq!(Pepper::new(b"a").hash(&one), Pepper::new(b"a").hash(&one));
    }
}
