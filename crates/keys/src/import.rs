//! Keys of another system, whose tokens nobody has: only their hashes.
//!
//! A fast digest becomes the secret's lookup at once: from a shown token the same digest is made,
//! and from it the same lookup. A salted hash is found by the token's start and compared; after
//! the first success our own hash and index take its place. What may be guessed (less than
//! [`MIN_ENTROPY_BITS`]) gets no index, ever: each first use of it is a password hash.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use model::audit::Actor;
use model::key::pepper::Digest;
use model::key::{Key, KeySecret};
use model::{KeyId, KeySecretId, KeyspaceId};
use store::MAX_BY_START;

use crate::changes::Changed;
use crate::credentials::{START_CHARS, start_of};
use crate::hasher::{
    MAX_IMPORTED_ARGON2_KIB, MAX_IMPORTED_ARGON2_PASSES, MAX_IMPORTED_BCRYPT_COST,
};
use crate::kinds::{Kind, MAX_KINDS};
use crate::{Keys, KeysError, NewKey, stored};

/// Keys in one import.
pub const MAX_IMPORT: usize = 1_000;
/// Tokens with less of it may be guessed, once their fast digest is known.
pub const MIN_ENTROPY_BITS: u32 = 112;
const MAX_HMAC_SECRET: usize = 256;
const MAX_HASH: usize = 512;

/// The hash as the other system kept it.
#[derive(Clone)]
pub enum ImportedHash {
    /// Hex or base64.
    Sha256(String),
    /// Hex or base64.
    Sha512(String),
    /// Hex or base64 of HMAC-SHA-256, and the secret it was made with.
    HmacSha256 { digest: String, secret: Vec<u8> },
    /// `$2a$`, `$2b$` or `$2y$`.
    Bcrypt(String),
    /// `$argon2id$…`, `$argon2i$…` or `$argon2d$…`.
    Argon2(String),
}

#[derive(Clone)]
pub struct NewImport {
    pub key: NewKey,
    pub hash: ImportedHash,
    /// The first eight characters of the token: what has no index is found by it.
    pub start: Option<String>,
    /// Of the other system's tokens; below [`MIN_ENTROPY_BITS`] no fast index is kept.
    pub entropy_bits: u32,
}

/// What is kept of a hash.
struct Kept {
    kind: Kind,
    lookup: Option<[u8; 32]>,
    hash: String,
}

impl Keys {
    /// # Errors
    /// When a field is not valid, the hash is taken, or the database fails.
    pub async fn import_key(&self, import: NewImport, by: &Actor) -> Result<Key, KeysError> {
        let keyspace = self.keyspace(&import.key.keyspace).await?;
        let now = self.now();
        let entropy = self.0.store.entropy();
        let key = import.key.into_key(KeyId::new(now, entropy), &keyspace, now)?;
        let kept = self.keep(import.hash, import.entropy_bits).await?;
        let start = import.start.unwrap_or_default();
        if kept.lookup.is_none() {
            self.check_start(keyspace.id, &start).await?;
        }
        self.add_kind(keyspace.id, &kept.kind, by).await?;
        let secret = KeySecret {
            id: KeySecretId::new(now, entropy),
            key_id: key.id,
            lookup: kept.lookup,
            hash: kept.hash,
            pepper_version: self.0.peppers.version(),
            start: start_of(&start).to_owned(),
            created_at: now,
            ends_at: None,
            last_used_at: None,
        };
        self.store_key(key.clone(), secret, by).await?;
        Ok(key)
    }

    /// Whether the keyspace has imports of this kind: each further kind costs all its questions.
    ///
    /// # Errors
    /// When there is no such keyspace, or the database fails.
    pub async fn knows_kind(&self, import: &NewImport) -> Result<bool, KeysError> {
        let keyspace = self.keyspace(&import.key.keyspace).await?;
        let kinds = self.0.credentials.kinds();
        Ok(kinds.has(keyspace.id, &kind_of(&import.hash, import.entropy_bits)))
    }

    async fn keep(&self, hash: ImportedHash, entropy_bits: u32) -> Result<Kept, KeysError> {
        let is_weak = entropy_bits < MIN_ENTROPY_BITS;
        let (kind, digest) = match hash {
            ImportedHash::Bcrypt(hash) => return kept_salted(check_bcrypt(hash)?, is_weak),
            ImportedHash::Argon2(hash) => return kept_salted(check_argon2(hash)?, is_weak),
            ImportedHash::Sha256(text) => (Kind::Sha256, Digest::Sha256(decode(&text)?)),
            ImportedHash::Sha512(text) => (Kind::Sha512, Digest::Sha512(decode(&text)?)),
            ImportedHash::HmacSha256 { digest, secret } => {
                if secret.is_empty() || secret.len() > MAX_HMAC_SECRET || is_weak {
                    let why = format!(
                        "1 to {MAX_HMAC_SECRET} bytes, of tokens with {MIN_ENTROPY_BITS} bits"
                    );
                    return Err(KeysError::invalid("secret", why));
                }
                (Kind::HmacSha256(secret), Digest::HmacSha256(decode(&digest)?))
            }
        };
        if !is_weak {
            let lookup = Some(self.0.peppers.lookup_of_digest(&digest));
            return Ok(Kept { kind, lookup, hash: stored::index_only() });
        }
        tracing::warn!(entropy_bits, "imported keys may be guessed: no index is kept of them");
        let peppers = &self.0.peppers;
        let prehash = peppers.prehash(&stored::digest_text(&digest), peppers.version());
        let hash = self.0.credentials.hasher.hash(prehash.ok_or(KeysError::Busy)?).await?;
        let hash = stored::weak_digest(&digest, &hash);
        Ok(Kept { kind: Kind::Salted, lookup: None, hash })
    }

    /// Without an index a token is found by its start, among a few: one more would be found by
    /// chance only.
    async fn check_start(&self, keyspace: KeyspaceId, start: &str) -> Result<(), KeysError> {
        if start.chars().count() < START_CHARS {
            let why = format!("{START_CHARS} characters: without an index it is found by them");
            return Err(KeysError::invalid("start", why));
        }
        let others = self.0.store.credentials_by_start(keyspace, start_of(start)).await?;
        if others.len() >= MAX_BY_START as usize {
            let why = format!(
                "{MAX_BY_START} keys without an index have this start, and no more can: use or \
                 delete some of them first"
            );
            return Err(KeysError::invalid("start", why));
        }
        Ok(())
    }

    /// Notes how the keyspace's tokens may be found. Every node learns it by the change log.
    pub(crate) async fn add_kind(
        &self,
        keyspace: KeyspaceId,
        kind: &Kind,
        by: &Actor,
    ) -> Result<(), KeysError> {
        let kinds = self.0.credentials.kinds();
        if kinds.has(keyspace, kind) {
            return Ok(());
        }
        if kinds.count(keyspace) >= MAX_KINDS {
            let why = format!("{MAX_KINDS} kinds of imports in one keyspace at the most");
            return Err(KeysError::invalid("hash", why));
        }
        let text = kind.to_text(&self.0.store, keyspace)?;
        self.0.store.add_import_kind(keyspace, &text, by).await?;
        self.apply(Changed::Keyspace(keyspace)).await;
        Ok(())
    }
}

fn kind_of(hash: &ImportedHash, entropy_bits: u32) -> Kind {
    match hash {
        _ if entropy_bits < MIN_ENTROPY_BITS => Kind::Salted,
        ImportedHash::Bcrypt(_) | ImportedHash::Argon2(_) => Kind::Salted,
        ImportedHash::Sha256(_) => Kind::Sha256,
        ImportedHash::Sha512(_) => Kind::Sha512,
        ImportedHash::HmacSha256 { secret, .. } => Kind::HmacSha256(secret.clone()),
    }
}

fn kept_salted(hash: String, is_weak: bool) -> Result<Kept, KeysError> {
    Ok(Kept { kind: Kind::Salted, lookup: None, hash: stored::salted(&hash, is_weak) })
}

/// A digest in hex or in any base64.
fn decode<const N: usize>(text: &str) -> Result<[u8; N], KeysError> {
    let hex = (text.len() == 2 * N).then(|| from_hex(text)).flatten();
    let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    let base64 = || engines.into_iter().find_map(|engine| engine.decode(text).ok());
    let bytes = hex.or_else(base64).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| KeysError::invalid("hash", format!("hex or base64 of {N} bytes")))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok())
        .collect()
}

/// A hash that would keep a thread busy for seconds is not taken.
fn check_bcrypt(hash: String) -> Result<String, KeysError> {
    let is_known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| hash.starts_with(version));
    let parts = is_known.then(|| hash.parse::<bcrypt::HashParts>().ok()).flatten();
    if parts.is_none_or(|parts| parts.get_cost() > MAX_IMPORTED_BCRYPT_COST) {
        let why = format!("bcrypt of cost {MAX_IMPORTED_BCRYPT_COST} at the most");
        return Err(KeysError::invalid("hash", why));
    }
    Ok(hash)
}

fn check_argon2(hash: String) -> Result<String, KeysError> {
    use argon2::password_hash::phc::PasswordHash;
    let parsed = (hash.len() <= MAX_HASH).then(|| PasswordHash::new(&hash).ok()).flatten();
    let params = parsed
        .filter(|parsed| parsed.hash.is_some() && hash.starts_with("$argon2"))
        .and_then(|parsed| argon2::Params::try_from(&parsed).ok());
    let is_fair = params.is_some_and(|params| {
        params.m_cost() <= MAX_IMPORTED_ARGON2_KIB && params.t_cost() <= MAX_IMPORTED_ARGON2_PASSES
    });
    if !is_fair {
        let why = format!(
            "argon2 of {MAX_IMPORTED_ARGON2_KIB} KiB and {MAX_IMPORTED_ARGON2_PASSES} passes at \
             the most"
        );
        return Err(KeysError::invalid("hash", why));
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_they_come() {
        let bytes: [u8; 32] = std::array::from_fn(|n| u8::try_from(n * 7 % 256).unwrap());
        let hex = stored::digest_text(&Digest::Sha256(bytes));
        for text in [
            hex.to_uppercase(),
            STANDARD.encode(bytes),
            STANDARD_NO_PAD.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
            hex,
        ] {
            assert_eq!(decode::<32>(&text).unwrap(), bytes, "{text}");
        }
        assert!(decode::<32>("00").is_err());
        assert!(decode::<64>(&STANDARD.encode(bytes)).is_err());
    }

    #[test]
    fn hashes_that_cost_too_much_are_not_taken() {
        let vector = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert!(check_bcrypt(vector.to_owned()).is_ok());
        assert!(check_bcrypt(vector.replace("$05$", "$15$")).is_err());
        assert!(check_bcrypt("$2b$05$short".to_owned()).is_err());
        let vector = "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
            $wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA";
        assert!(check_argon2(vector.to_owned()).is_ok());
        assert!(check_argon2(vector.replace("m=65536", "m=1048576")).is_err());
        assert!(check_argon2("$argon2id$v=19$m=65536".to_owned()).is_err());
    }
}
