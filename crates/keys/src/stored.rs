//! The text that a secret's password hash is stored as. One of
//! - `$2b$…`: bcrypt of the peppered token, ours;
//! - `import:$2b$…`, `import:$argon2id$…`: what another system made of the bare token, until it
//!   is first used;
//! - `import:digest`: another system's fast digest; the secret's lookup is made from it, and is
//!   all that is kept of it;
//! - `weak:$2b$…`, `weak:$argon2id$…`: as the second, of a token that may be guessed: it stays;
//! - `weak:sha256:$2b$…`: bcrypt of the peppered digest of such a token.

use std::fmt::Write;

use model::key::pepper::{Digest, Peppers};

const IMPORTED: &str = "import:";
const WEAK: &str = "weak:";
const DIGEST: &str = "digest";
const SHA256: &str = "sha256:";
const SHA512: &str = "sha512:";

/// Of an import by its fast digest.
pub(crate) fn index_only() -> String {
    format!("{IMPORTED}{DIGEST}")
}

pub(crate) fn salted(hash: &str, is_weak: bool) -> String {
    format!("{}{hash}", if is_weak { WEAK } else { IMPORTED })
}

/// `hash` is of the peppered [`digest_text`].
pub(crate) fn weak_digest(digest: &Digest, hash: &str) -> String {
    format!("{WEAK}{}{hash}", if matches!(digest, Digest::Sha512(_)) { SHA512 } else { SHA256 })
}

/// Whether our own hash of the token should take its place, once the token is at hand.
pub(crate) fn is_provisional(stored: &str) -> bool {
    stored.starts_with(IMPORTED)
}

/// Whether no index of the token may be kept.
pub(crate) fn is_weak(stored: &str) -> bool {
    stored.starts_with(WEAK)
}

/// What is put into a password hash, and the hash that should come out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub input: String,
    pub hash: String,
}

impl Comparison {
    /// None when there is nothing to compare: the lookup was the comparison.
    pub fn of(stored: &str, token: &str, peppers: &Peppers, version: u32) -> Option<Self> {
        let bare = |hash: &str| Self { input: token.to_owned(), hash: hash.to_owned() };
        let peppered = |text: &str, hash: &str| {
            // Without its pepper nothing is equal to it.
            let input = peppers.prehash(text, version).unwrap_or_default();
            Self { input, hash: hash.to_owned() }
        };
        if let Some(hash) = stored.strip_prefix(IMPORTED) {
            return (hash != DIGEST).then(|| bare(hash));
        }
        let Some(weak) = stored.strip_prefix(WEAK) else { return Some(peppered(token, stored)) };
        if let Some(hash) = weak.strip_prefix(SHA256) {
            return Some(peppered(&digest_text(&Digest::sha256(token)), hash));
        }
        if let Some(hash) = weak.strip_prefix(SHA512) {
            return Some(peppered(&digest_text(&Digest::sha512(token)), hash));
        }
        Some(bare(weak))
    }
}

/// A digest in lower-case hex.
pub(crate) fn digest_text(digest: &Digest) -> String {
    let bytes: &[u8] = match digest {
        Digest::Sha256(bytes) | Digest::HmacSha256(bytes) => bytes,
        Digest::Sha512(bytes) => bytes,
    };
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
