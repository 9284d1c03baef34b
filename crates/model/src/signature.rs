//! Standard Webhooks signatures: who sent this, and that nothing was changed on the way.
//!
//! An endpoint owns [`Secret`]s; during a rotation several live at once. The sender prepares one
//! [`Signer`] per living secret, keeps it, and writes one header per attempt with
//! [`signature_header`]: a signature per secret, newest first, each over `id.timestamp.body`.
//!
//! What must always hold: the body is signed exactly as it is sent; signatures stand one space
//! apart, because published verifiers break on anything else; a secret shows itself only through
//! [`Secret::to_text`], never in debug output.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::{Entropy, Timestamp};

pub const MIN_HMAC_BYTES: usize = 24;
pub const MAX_HMAC_BYTES: usize = 75;
/// How far the timestamp of a request may lie from the verifier's clock, both ways.
pub const TOLERANCE_S: u64 = 300;
/// Most signatures one header may hold; a verifier looks at no more.
pub const MAX_SIGNATURES: usize = 16;

const GENERATED_HMAC_BYTES: usize = 32;
const SEED_BYTES: usize = 32;
const FINGERPRINT_BYTES: usize = 8;

const HMAC_PREFIX: &str = "whsec_";
const ED25519_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";
const HMAC_SCHEME: &str = "v1,";
const ED25519_SCHEME: &str = "v1a,";

/// Secrets are read with or without padding and always written with it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the secret is not base64; write it as whsec_ followed by base64")]
    NotBase64,
    #[error(
        "the secret holds {0} bytes; an HMAC secret needs {MIN_HMAC_BYTES} to {MAX_HMAC_BYTES}"
    )]
    HmacLength(usize),
    #[error("whsk_ needs the base64 of a 32-byte seed or of a 64-byte Ed25519 key pair")]
    NotAKeyPair,
    #[error("this is a public key; signing needs the private one, which starts with whsk_")]
    PublicKey,
}

/// A signing secret of an endpoint.
#[derive(Clone)]
pub enum Secret {
    Hmac(HmacSecret),
    Ed25519(Ed25519Secret),
}

#[derive(Clone)]
pub struct HmacSecret(Arc<[u8]>);

#[derive(Clone)]
pub struct Ed25519Secret {
    seed: [u8; SEED_BYTES],
    pair: Arc<Ed25519KeyPair>,
}

impl Secret {
    #[must_use]
    pub fn generate_hmac(entropy: &Entropy) -> Self {
        let mut bytes = [0; GENERATED_HMAC_BYTES];
        entropy.fill(&mut bytes);
        Self::Hmac(HmacSecret(bytes.into()))
    }

    #[must_use]
    pub fn generate_ed25519(entropy: &Entropy) -> Self {
        let mut seed = [0; SEED_BYTES];
        entropy.fill(&mut seed);
        Self::from_seed(seed)
    }

    /// Reads `whsec_…`, `whsk_…`, or bare base64, which is an HMAC secret.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.starts_with(PUBLIC_PREFIX) {
            return Err(SecretError::PublicKey);
        }
        if let Some(encoded) = text.strip_prefix(ED25519_PREFIX) {
            return Self::parse_ed25519(encoded);
        }
        let encoded = text.strip_prefix(HMAC_PREFIX).unwrap_or(text);
        let bytes = LENIENT.decode(encoded).map_err(|_| SecretError::NotBase64)?;
        if !(MIN_HMAC_BYTES..=MAX_HMAC_BYTES).contains(&bytes.len()) {
            return Err(SecretError::HmacLength(bytes.len()));
        }
        Ok(Self::Hmac(HmacSecret(bytes.into())))
    }

    /// The whole secret, as shown once to its owner and as sealed for storage.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Hmac(secret) => format!("{HMAC_PREFIX}{}", STANDARD.encode(&secret.0)),
            Self::Ed25519(secret) => {
                let pair = [&secret.seed, secret.pair.public_key().as_ref()].concat();
                format!("{ED25519_PREFIX}{}", STANDARD.encode(pair))
            }
        }
    }

    /// What the receiver of an Ed25519 signature verifies with; `None` for an HMAC secret.
    #[must_use]
    pub fn public_key_text(&self) -> Option<String> {
        match self {
            Self::Hmac(_) => None,
            Self::Ed25519(secret) => {
                let public_key = STANDARD.encode(secret.pair.public_key());
                Some(format!("{PUBLIC_PREFIX}{public_key}"))
            }
        }
    }

    /// Tells secrets apart without telling one: the first 16 hex digits of the SHA-256 of what the
    /// receiver has, `whsec_…` or `whpk_…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let text = self.public_key_text().unwrap_or_else(|| self.to_text());
        let hash = digest(&SHA256, text.as_bytes());
        let digits = |byte: &u8| [hex_digit(byte >> 4), hex_digit(byte & 0x0f)];
        hash.as_ref().iter().take(FINGERPRINT_BYTES).flat_map(digits).collect()
    }

    fn parse_ed25519(encoded: &str) -> Result<Self, SecretError> {
        let bytes = LENIENT.decode(encoded).map_err(|_| SecretError::NotAKeyPair)?;
        let (seed, public_key) =
            bytes.split_first_chunk::<SEED_BYTES>().ok_or(SecretError::NotAKeyPair)?;
        let secret = Self::from_seed(*seed);
        if public_key.is_empty() || secret.has_public_key(public_key) {
            return Ok(secret);
        }
        Err(SecretError::NotAKeyPair)
    }

    fn has_public_key(&self, public_key: &[u8]) -> bool {
        matches!(self, Self::Ed25519(secret) if secret.pair.public_key().as_ref() == public_key)
    }

    #[expect(clippy::expect_used, reason = "any 32 bytes are an Ed25519 seed")]
    fn from_seed(seed: [u8; SEED_BYTES]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed");
        Self::Ed25519(Ed25519Secret { seed, pair: Arc::new(pair) })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Secret::Hmac(redacted)",
            Self::Ed25519(_) => "Secret::Ed25519(redacted)",
        })
    }
}

/// The bytes of a public key that was written as `whpk_…`.
#[must_use]
pub fn public_key_bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.strip_prefix(PUBLIC_PREFIX)?).ok()
}

/// A secret made ready to sign. Prepare once and keep: the key schedule is already computed, and a
/// clone shares it.
#[derive(Clone)]
pub struct Signer(Key);

#[derive(Clone)]
enum Key {
    Hmac(Arc<hmac::Key>),
    Ed25519(Arc<Ed25519KeyPair>),
}

impl Signer {
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self(match secret {
            Secret::Hmac(secret) => {
                Key::Hmac(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &secret.0)))
            }
            Secret::Ed25519(secret) => Key::Ed25519(Arc::clone(&secret.pair)),
        })
    }

    /// Appends `v1,…` or `v1a,…`, the signature of one attempt.
    pub fn sign_into(&self, id: &str, timestamp_s: i64, body: &[u8], out: &mut String) {
        self.sign_prefixed(&prefix(id, timestamp_s), body, out);
    }

    /// `sha256=<hex>` over the body alone, for receivers that migrate from such a scheme. The HMAC
    /// key is the decoded secret: whoever brings an old secret stores its bytes as base64.
    /// `None` for Ed25519, which has no key that the receiver shares.
    #[must_use]
    pub fn body_hmac_hex(&self, body: &[u8]) -> Option<String> {
        let Key::Hmac(key) = &self.0 else { return None };
        let tag = hmac::sign(key, body);
        let mut text = String::with_capacity("sha256=".len() + 2 * tag.as_ref().len());
        text.push_str("sha256=");
        for byte in tag.as_ref() {
            text.push(hex_digit(byte >> 4));
            text.push(hex_digit(byte & 0x0f));
        }
        Some(text)
    }

    fn sign_prefixed(&self, prefix: &str, body: &[u8], out: &mut String) {
        match &self.0 {
            Key::Hmac(key) => {
                out.push_str(HMAC_SCHEME);
                STANDARD.encode_string(hmac_tag(key, prefix, body), out);
            }
            Key::Ed25519(pair) => {
                out.push_str(ED25519_SCHEME);
                let signed = [prefix.as_bytes(), body].concat();
                STANDARD.encode_string(pair.sign(&signed), out);
            }
        }
    }

    /// Whether one signature of a header is ours, compared in constant time.
    fn matches(&self, prefix: &str, body: &[u8], signature: &str) -> bool {
        match &self.0 {
            Key::Hmac(key) => decode(signature, HMAC_SCHEME).is_some_and(|tag| {
                verify_slices_are_equal(hmac_tag(key, prefix, body).as_ref(), &tag).is_ok()
            }),
            Key::Ed25519(pair) => decode(signature, ED25519_SCHEME).is_some_and(|bytes| {
                let signed = [prefix.as_bytes(), body].concat();
                let public_key = UnparsedPublicKey::new(&ED25519, pair.public_key());
                public_key.verify(&signed, &bytes).is_ok()
            }),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(redacted)")
    }
}

/// The value of `webhook-signature`. `signers` come newest first.
#[must_use]
pub fn signature_header<'a>(
    signers: impl IntoIterator<Item = &'a Signer>,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
) -> String {
    let prefix = prefix(id, timestamp_s);
    let mut header = String::with_capacity(96);
    for signer in signers {
        if !header.is_empty() {
            header.push(' ');
        }
        signer.sign_prefixed(&prefix, body, &mut header);
    }
    header
}

/// A received request: its three headers as text, and its body.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signature: &'a str,
    pub body: &'a [u8],
}

/// Which layer of a verification failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("{0}")]
    BadFormat(&'static str),
    #[error(
        "the timestamp is {off_by_s} s away from the clock; at most {TOLERANCE_S} s are accepted"
    )]
    TimestampOutsideTolerance { off_by_s: u64 },
    #[error("no signature matches; the secret differs, or id, timestamp or body was changed")]
    NoMatchingSignature,
}

/// Judges a request as its receiver would: format first, then time, then the signatures.
pub fn verify(signers: &[Signer], signed: Signed<'_>, now: Timestamp) -> Result<(), VerifyError> {
    if signed.id.is_empty() {
        return Err(VerifyError::BadFormat("webhook-id is empty"));
    }
    let timestamp_s: i64 = signed
        .timestamp
        .parse()
        .map_err(|_| VerifyError::BadFormat("webhook-timestamp is not a number of seconds"))?;
    let signatures = split_signatures(signed.signature)?;

    let off_by_s = now.seconds().abs_diff(timestamp_s);
    if off_by_s > TOLERANCE_S {
        return Err(VerifyError::TimestampOutsideTolerance { off_by_s });
    }

    // What was signed is the text that arrived: `+1` and `1` are one second, not one text.
    let prefix = format!("{}.{}.", signed.id, signed.timestamp);
    let known = |signature: &&str| {
        signers.iter().any(|signer| signer.matches(&prefix, signed.body, signature))
    };
    match signatures.iter().any(known) {
        true => Ok(()),
        false => Err(VerifyError::NoMatchingSignature),
    }
}

fn split_signatures(header: &str) -> Result<Vec<&str>, VerifyError> {
    let signatures: Vec<&str> = header.split(' ').take(MAX_SIGNATURES + 1).collect();
    if signatures.len() > MAX_SIGNATURES {
        return Err(VerifyError::BadFormat("webhook-signature holds too many signatures"));
    }
    // A scheme of the future is well-formed and matches nobody.
    let well_formed = |signature: &&str| {
        signature
            .split_once(',')
            .is_some_and(|(scheme, rest)| !scheme.is_empty() && STANDARD.decode(rest).is_ok())
    };
    if !signatures.iter().all(well_formed) {
        return Err(VerifyError::BadFormat(
            "webhook-signature is not a list of `v1,<base64>` separated by single spaces",
        ));
    }
    Ok(signatures)
}

fn prefix(id: &str, timestamp_s: i64) -> String {
    format!("{id}.{timestamp_s}.")
}

fn hmac_tag(key: &hmac::Key, prefix: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(prefix.as_bytes());
    context.update(body);
    context.sign()
}

fn decode(signature: &str, scheme: &str) -> Option<Vec<u8>> {
    STANDARD.decode(signature.strip_prefix(scheme)?).ok()
}

fn hex_digit(nibble: u8) -> char {
    char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 })
}

#[cfg(test)]
mod tests;
