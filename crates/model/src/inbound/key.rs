//! Secrets as verifiers hold them, and the two ways to read one.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Scheme;
use crate::signature::{Secret, SecretError};

const MAX_SECRET_BYTES: usize = 1024;
const PUBLIC_KEY_BYTES: usize = 32;
const HMAC_PREFIX: &str = "whsec_";
const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("the secret is empty")]
    Empty,
    #[error("the secret is longer than {MAX_SECRET_BYTES} bytes")]
    TooLong,
    #[error("the secret is not base64; write it as whsec_ followed by base64")]
    NotBase64,
    #[error("whpk_ needs the base64 of a 32-byte public key")]
    NotAPublicKey,
    #[error(transparent)]
    NotAKeyPair(#[from] SecretError),
}

/// One secret, made ready.
#[derive(Clone)]
pub struct Key(Kind);

#[derive(Clone)]
enum Kind {
    Hmac {
        right: Box<hmac::Key>,
        wrong: Vec<hmac::Key>,
    },
    /// The public key, and the private one where it is known.
    Ed25519 {
        public: Vec<u8>,
        private: Option<Secret>,
    },
}

impl Key {
    /// Reads a secret as senders of this scheme show it.
    pub fn parse(scheme: Scheme, text: &str) -> Result<Self, BadKey> {
        if text.is_empty() {
            return Err(BadKey::Empty);
        }
        if text.len() > MAX_SECRET_BYTES {
            return Err(BadKey::TooLong);
        }
        if !scheme.has_encoded_secrets() {
            let wrong = decoded(text).map(|bytes| key(&bytes)).into_iter().collect();
            return Ok(Self(Kind::Hmac { right: Box::new(key(text.as_bytes())), wrong }));
        }
        if let Some(encoded) = text.strip_prefix(PUBLIC_PREFIX) {
            let public = LENIENT.decode(encoded).map_err(|_| BadKey::NotAPublicKey)?;
            if public.len() != PUBLIC_KEY_BYTES {
                return Err(BadKey::NotAPublicKey);
            }
            return Ok(Self(Kind::Ed25519 { public, private: None }));
        }
        if text.starts_with(PRIVATE_PREFIX) {
            return Ok(Self::of(&Secret::parse(text)?));
        }
        Self::encoded(text)
    }

    /// A secret of an endpoint: its bytes are the key, whatever the scheme.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        let text = secret.to_text();
        let public = secret.public_key_text();
        let public = public.as_deref().and_then(|text| text.strip_prefix(PUBLIC_PREFIX));
        match public.and_then(|encoded| LENIENT.decode(encoded).ok()) {
            Some(public) => Self(Kind::Ed25519 { public, private: Some(secret.clone()) }),
            None => Self::encoded(&text).unwrap_or_else(|_| Self::of_text(&text)),
        }
    }

    fn encoded(text: &str) -> Result<Self, BadKey> {
        let right = Box::new(key(&decoded(text).ok_or(BadKey::NotBase64)?));
        let bare = text.strip_prefix(HMAC_PREFIX);
        let wrong = std::iter::once(text).chain(bare).map(|text| key(text.as_bytes())).collect();
        Ok(Self(Kind::Hmac { right, wrong }))
    }

    fn of_text(text: &str) -> Self {
        Self(Kind::Hmac { right: Box::new(key(text.as_bytes())), wrong: Vec::new() })
    }

    pub(super) const fn is_hmac(&self) -> bool {
        matches!(self.0, Kind::Hmac { .. })
    }

    /// The private key, where signing is with one.
    pub(super) const fn private(&self) -> Option<&Secret> {
        match &self.0 {
            Kind::Ed25519 { private, .. } => private.as_ref(),
            Kind::Hmac { .. } => None,
        }
    }

    pub(super) fn tag(&self, prefix: &str, body: &[u8]) -> Option<hmac::Tag> {
        match &self.0 {
            Kind::Hmac { right, .. } => Some(tag(right, prefix, body)),
            Kind::Ed25519 { .. } => None,
        }
    }

    /// The same secret read as it is not meant: as text instead of base64, or the other way.
    pub(super) fn is_misread(&self, prefix: &str, body: &[u8], tags: &[Vec<u8>]) -> bool {
        let Kind::Hmac { wrong, .. } = &self.0 else { return false };
        wrong.iter().any(|key| is_among(&tag(key, prefix, body), tags))
    }

    pub(super) fn has_signed(&self, prefix: &str, body: &[u8], signature: &[u8]) -> bool {
        let Kind::Ed25519 { public, .. } = &self.0 else { return false };
        let signed = [prefix.as_bytes(), body].concat();
        UnparsedPublicKey::new(&ED25519, public).verify(&signed, signature).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

/// Every one is compared: which one matched shows in no time.
pub(super) fn is_among(tag: &hmac::Tag, tags: &[Vec<u8>]) -> bool {
    tags.iter()
        .fold(false, |found, other| found | verify_slices_are_equal(tag.as_ref(), other).is_ok())
}

fn key(bytes: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, bytes)
}

fn tag(key: &hmac::Key, prefix: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(prefix.as_bytes());
    context.update(body);
    context.sign()
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let encoded = text.strip_prefix(HMAC_PREFIX).unwrap_or(text);
    LENIENT.decode(encoded).ok().filter(|bytes| !bytes.is_empty())
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text).ok()
}
