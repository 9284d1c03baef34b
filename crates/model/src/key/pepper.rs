//! The peppers of an instance, and everything that is made with them.
//!
//! A pepper is 32 secret bytes outside the database. Four keys are derived from each: for the
//! lookup of a token, for the text that its password hash is made of, for the tag over a row, and
//! for names in caches that others can read. A dump of the database without the peppers verifies
//! nothing, and a write to it forges nothing.
//!
//! Peppers are numbered from 1 and are all kept. A lookup runs through all of them, each version
//! over the result of the one before, so that after a rotation every stored lookup is carried on
//! ([`Peppers::upgrade_lookup`]) without its token. Tags and hashes name their version and are
//! made anew when their rows are next written.

mod canonical;

use std::fmt;

use aws_lc_rs::{digest, hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use self::canonical::Row;
use super::{Key, KeyOwner, KeySecret, Keyspace, Tagged};

/// Peppers of one instance at the most.
pub const MAX_PEPPERS: usize = 32;
/// Bytes of a pepper.
pub const PEPPER_LEN: usize = 32;
/// Characters of what a password hash is made of: below the 72 that bcrypt reads.
pub const PREHASH_LEN: usize = 64;

/// A lookup, a tag, or another keyed hash.
pub type Mac = [u8; 32];

/// Why peppers cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPeppers {
    /// Without one of them no lookup can be computed.
    #[error("the peppers must be numbered from 1 to the current one, each once")]
    Gap,
    /// More than [`MAX_PEPPERS`].
    #[error("more than {MAX_PEPPERS} peppers")]
    TooMany,
    /// The cryptography refused.
    #[error("keys cannot be derived from a pepper")]
    Derivation,
}

/// All peppers of an instance, ready for use.
pub struct Peppers {
    /// Version 1 first.
    older: Vec<Pepper>,
    newest: Pepper,
    current: u32,
}

/// The keys of one pepper.
struct Pepper {
    lookup: hmac::Key,
    prehash: hmac::Key,
    tag: hmac::Key,
    cache: hmac::Key,
}

/// The unsalted hash of a token, as another system kept it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256 of the token.
    Sha256([u8; 32]),
    /// SHA-512 of the token.
    Sha512([u8; 64]),
    /// HMAC-SHA-256 of the token under the other system's secret.
    HmacSha256([u8; 32]),
}

impl Digest {
    /// What SHA-256 makes of this token.
    #[must_use]
    pub fn sha256(token: &str) -> Self {
        Self::Sha256(fixed(digest::digest(&digest::SHA256, token.as_bytes()).as_ref()))
    }

    /// What SHA-512 makes of this token.
    #[must_use]
    pub fn sha512(token: &str) -> Self {
        Self::Sha512(fixed(digest::digest(&digest::SHA512, token.as_bytes()).as_ref()))
    }

    /// What HMAC-SHA-256 makes of this token under this secret.
    #[must_use]
    pub fn hmac_sha256(secret: &[u8], token: &str) -> Self {
        Self::HmacSha256(mac(&hmac::Key::new(hmac::HMAC_SHA256, secret), &[token.as_bytes()]))
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256:",
            Self::Sha512(_) => "sha512:",
            Self::HmacSha256(_) => "hmac-sha256:",
        }
    }

    const fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) | Self::HmacSha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}redacted)", self.kind())
    }
}

impl Peppers {
    /// The current pepper with its version, and all older ones in any order.
    ///
    /// # Errors
    /// When one is missing or twice, there are too many, or no keys can be derived.
    pub fn new(
        current: (u32, [u8; PEPPER_LEN]),
        older: Vec<(u32, [u8; PEPPER_LEN])>,
    ) -> Result<Self, BadPeppers> {
        if older.len() >= MAX_PEPPERS {
            return Err(BadPeppers::TooMany);
        }
        let (version, newest) = current;
        let mut older = older;
        older.sort_unstable_by_key(|(version, _)| *version);
        let versions = older.iter().map(|(version, _)| *version).chain([version]);
        if !versions.zip(1..).all(|(version, expected)| version == expected) {
            return Err(BadPeppers::Gap);
        }
        Ok(Self {
            older: older
                .iter()
                .map(|(_, pepper)| Pepper::derive(pepper))
                .collect::<Result<_, _>>()?,
            newest: Pepper::derive(&newest)?,
            current: version,
        })
    }

    /// The version that everything new is made with.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.current
    }

    /// The keyed index of a token. Nothing is allocated.
    #[must_use]
    pub fn lookup(&self, token: &str) -> Mac {
        self.carry_on(0, &[token.as_bytes()])
    }

    /// What the lookup was before each rotation, the latest first: rows that are not carried on
    /// yet are found by these.
    #[must_use]
    pub fn older_lookups(&self, token: &str) -> Vec<Mac> {
        self.older(&[token.as_bytes()])
    }

    /// The keyed index of an imported digest, which is computed from a shown token too.
    #[must_use]
    pub fn lookup_of_digest(&self, digest: &Digest) -> Mac {
        self.carry_on(0, &digest_input(digest))
    }

    /// [`Peppers::older_lookups`] of an imported digest.
    #[must_use]
    pub fn older_lookups_of_digest(&self, digest: &Digest) -> Vec<Mac> {
        self.older(&digest_input(digest))
    }

    /// Carries a stored lookup on to the current version. None when there is no such version.
    #[must_use]
    pub fn upgrade_lookup(&self, from_version: u32, lookup: Mac) -> Option<Mac> {
        self.pepper(from_version)?;
        if from_version == self.current {
            return Some(lookup);
        }
        Some(self.carry_on(usize::try_from(from_version).ok()?, &[&lookup]))
    }

    /// What the password hash of a token is made of: 64 characters whatever the token's length,
    /// so that bcrypt cuts nothing off. None when there is no such version.
    #[must_use]
    pub fn prehash(&self, token: &str, version: u32) -> Option<String> {
        let tag = hmac::sign(&self.pepper(version)?.prehash, token.as_bytes());
        Some(STANDARD.encode(tag.as_ref()))
    }

    /// A name for what is kept in a cache that others can read: it tells them nothing, and
    /// changes with the pepper.
    #[must_use]
    pub fn cache_name(&self, bytes: &[u8]) -> Mac {
        mac(&self.newest.cache, &[bytes])
    }

    /// Shows which pepper a version is, without telling it: a start with another one is refused
    /// before it does harm. None when there is no such version.
    #[must_use]
    pub fn check_value(&self, version: u32) -> Option<Mac> {
        Some(mac(&self.pepper(version)?.tag, &[b"pepper check value"]))
    }

    /// The tag over a key, by the current pepper.
    #[must_use]
    pub fn key_tag(&self, key: &Key) -> Mac {
        self.tag(key)
    }

    /// The tag over a secret, by the current pepper.
    #[must_use]
    pub fn secret_tag(&self, secret: &KeySecret) -> Mac {
        self.tag(secret)
    }

    /// The tag over a keyspace, by the current pepper.
    #[must_use]
    pub fn keyspace_tag(&self, keyspace: &Keyspace) -> Mac {
        self.tag(keyspace)
    }

    /// The tag over an owner, by the current pepper.
    #[must_use]
    pub fn owner_tag(&self, owner: &KeyOwner) -> Mac {
        self.tag(owner)
    }

    /// Whether this instance made the row as it is. In constant time.
    #[must_use]
    pub fn check_key(&self, row: &Tagged<Key>) -> bool {
        self.check(row)
    }

    /// Whether this instance made the row as it is. In constant time.
    #[must_use]
    pub fn check_secret(&self, row: &Tagged<KeySecret>) -> bool {
        self.check(row)
    }

    /// Whether this instance made the row as it is. In constant time.
    #[must_use]
    pub fn check_keyspace(&self, row: &Tagged<Keyspace>) -> bool {
        self.check(row)
    }

    /// Whether this instance made the row as it is. In constant time.
    #[must_use]
    pub fn check_owner(&self, row: &Tagged<KeyOwner>) -> bool {
        self.check(row)
    }

    fn tag<T: Row>(&self, row: &T) -> Mac {
        mac(&self.newest.tag, &[&canonical::bytes(row)])
    }

    fn check<T: Row>(&self, row: &Tagged<T>) -> bool {
        self.pepper(row.pepper_version).is_some_and(|pepper| {
            hmac::verify(&pepper.tag, &canonical::bytes(&row.value), &row.tag).is_ok()
        })
    }

    /// Runs through the versions after the first `passed`.
    fn carry_on(&self, passed: usize, input: &[&[u8]]) -> Mac {
        let older = self.older.iter().skip(passed);
        let before = older.fold(None, |before, pepper| Some(pepper.carry_on(before, input)));
        self.newest.carry_on(before, input)
    }

    fn older(&self, input: &[&[u8]]) -> Vec<Mac> {
        let older = self.older.iter().scan(None, |before, pepper| {
            *before = Some(pepper.carry_on(*before, input));
            *before
        });
        let mut lookups: Vec<Mac> = older.collect();
        lookups.reverse();
        lookups
    }

    fn pepper(&self, version: u32) -> Option<&Pepper> {
        if version == self.current {
            return Some(&self.newest);
        }
        self.older.get(usize::try_from(version.checked_sub(1)?).ok()?)
    }
}

impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peppers(version {}, redacted)", self.current)
    }
}

impl Pepper {
    fn derive(pepper: &[u8; PEPPER_LEN]) -> Result<Self, BadPeppers> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"doorbell keys").extract(pepper);
        let key = |purpose: &[u8], algorithm: hmac::Algorithm| {
            let purpose = [purpose];
            let okm = root.expand(&purpose, algorithm).map_err(|_| BadPeppers::Derivation)?;
            Ok(hmac::Key::from(okm))
        };
        Ok(Self {
            lookup: key(b"lookup", hmac::HMAC_SHA256)?,
            prehash: key(b"prehash", hmac::HMAC_SHA384)?,
            tag: key(b"tag", hmac::HMAC_SHA256)?,
            cache: key(b"cache", hmac::HMAC_SHA256)?,
        })
    }

    /// The next lookup over the one before; over the input, where there is none.
    fn carry_on(&self, before: Option<Mac>, input: &[&[u8]]) -> Mac {
        match before {
            Some(before) => mac(&self.lookup, &[&before]),
            None => mac(&self.lookup, input),
        }
    }
}

/// Begins with a byte that no text has: nobody can show a token that reads like the digest of
/// another, and pass with what a dump holds.
fn digest_input(digest: &Digest) -> [&[u8]; 3] {
    [b"\xff", digest.kind().as_bytes(), digest.bytes()]
}

fn mac(key: &hmac::Key, input: &[&[u8]]) -> Mac {
    let mut context = hmac::Context::with_key(key);
    for part in input {
        context.update(part);
    }
    fixed(context.sign().as_ref())
}

/// For outputs whose length is their algorithm's.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests;
