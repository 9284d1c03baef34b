//! The tokens of a session: a short signed one for every request, and one to renew it with.
//!
//! The signed token is a JWT of exactly one form. Its header is a constant of the instance (one
//! algorithm, one type, one key id) and is compared as text before anything is parsed, so that no
//! header field of a caller is ever obeyed. It names a session, and only the session's row says
//! whose it is and whether it still lives.
//!
//! The refresh token names a session and a generation under our own seal: nothing of it is
//! stored. Each generation is good once; an earlier one that comes back was copied.
//!
//! All keys come from one secret of the instance ([`SessionKeys::new`]), the same on every node.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::access::SESSION_TOKEN_MS;
use crate::{SessionId, Timestamp};

pub const ROOT_LEN: usize = 32;
/// Longer texts are no tokens of ours.
pub const MAX_TOKEN_BYTES: usize = 1_024;
/// The longest life of a signed token, that of a portal.
pub const MAX_TOKEN_LIFE_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// How far the clocks of two nodes may be apart.
pub const MAX_SKEW_S: i64 = 5;

const ISSUER: &str = "doorbell";
const AUDIENCE: &str = "doorbell-api";
const TYPE: &str = "doorbell-session+jwt";
const REFRESH_PREFIX: &str = "dblr_";
/// What stands before the seed of an Ed25519 key in PKCS #8, version 1 (RFC 8410 §7).
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const SID_LEN: usize = 32;
const GENERATION_LEN: usize = 8;
const MAC_LEN: usize = 32;

/// Not a token of a session, or not any more. One refusal for all reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid")]
pub struct BadToken;

/// What a signed token says. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// The user, or the app of a portal.
    pub sub: String,
    pub sid: SessionId,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
}

/// Everything that is signed or sealed for sessions.
pub struct SessionKeys {
    signing: EncodingKey,
    checking: DecodingKey,
    header: Header,
    /// The header as it stands in every token, with the dot.
    header_text: String,
    validation: Validation,
    refresh: hmac::Key,
    scope: hmac::Key,
}

impl SessionKeys {
    /// # Errors
    /// Only if the cryptography refuses the key that is derived.
    pub fn new(root: &[u8; ROOT_LEN]) -> Result<Self, BadToken> {
        let seed = derive(root, "session signing");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| BadToken)?;
        let public = pair.public_key().as_ref();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(URL_SAFE_NO_PAD.encode(&public[..8]));
        let mut keys = Self {
            signing: EncodingKey::from_ed_der(&[&PKCS8_HEAD[..], &seed].concat()),
            checking: DecodingKey::from_ed_der(public),
            header,
            header_text: String::new(),
            validation: validation(),
            refresh: hmac::Key::new(hmac::HMAC_SHA256, &derive(root, "refresh")),
            scope: hmac::Key::new(hmac::HMAC_SHA256, &derive(root, "scope")),
        };
        let sample = jsonwebtoken::encode(&keys.header, &(), &keys.signing);
        let sample = sample.map_err(|_| BadToken)?;
        let header_len = sample.find('.').ok_or(BadToken)? + 1;
        sample[..header_len].clone_into(&mut keys.header_text);
        Ok(keys)
    }

    /// A signed token for a session, good until `ends`.
    ///
    /// # Errors
    /// Only if the cryptography fails.
    pub fn sign(
        &self,
        sid: SessionId,
        sub: &str,
        now: Timestamp,
        ends: Timestamp,
    ) -> Result<String, BadToken> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: sub.to_owned(),
            sid,
            iat: seconds(now),
            nbf: seconds(now),
            exp: seconds(ends),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing).map_err(|_| BadToken)
    }

    /// A signed token of the usual life, or shorter when the session ends before.
    ///
    /// # Errors
    /// Only if the cryptography fails.
    pub fn sign_short(
        &self,
        sid: SessionId,
        sub: &str,
        now: Timestamp,
        session_ends: Timestamp,
    ) -> Result<String, BadToken> {
        self.sign(sid, sub, now, now.plus_ms(SESSION_TOKEN_MS).min(session_ends))
    }

    /// Whether the text begins as every signed token of this instance does.
    #[must_use]
    pub fn is_signed_token(&self, text: &str) -> bool {
        text.starts_with(&self.header_text)
    }

    /// # Errors
    /// For everything but a token of ours whose time it is.
    pub fn check(&self, text: &str, now: Timestamp) -> Result<Claims, BadToken> {
        if text.len() > MAX_TOKEN_BYTES || !self.is_signed_token(text) {
            return Err(BadToken);
        }
        let token = jsonwebtoken::decode::<Claims>(text, &self.checking, &self.validation);
        let claims = token.map_err(|_| BadToken)?.claims;
        let now = seconds(now);
        let life_s = claims.exp.checked_sub(claims.iat).ok_or(BadToken)?;
        let max_life_s = i64::try_from(MAX_TOKEN_LIFE_MS / 1_000).unwrap_or(0);
        let is_good = now < claims.exp
            && claims.nbf <= now.saturating_add(MAX_SKEW_S)
            && claims.iat <= now.saturating_add(MAX_SKEW_S)
            && (0..=max_life_s).contains(&life_s);
        if is_good { Ok(claims) } else { Err(BadToken) }
    }

    #[must_use]
    pub fn refresh_token(&self, sid: SessionId, generation: i64) -> String {
        let mut bytes = Vec::with_capacity(SID_LEN + GENERATION_LEN + MAC_LEN);
        bytes.extend_from_slice(sid.as_str().as_bytes());
        bytes.extend_from_slice(&generation.to_be_bytes());
        let mac = hmac::sign(&self.refresh, &bytes);
        bytes.extend_from_slice(mac.as_ref());
        format!("{REFRESH_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The session and the generation of a refresh token that is ours.
    ///
    /// # Errors
    /// For everything else.
    pub fn open_refresh(&self, text: &str) -> Result<(SessionId, i64), BadToken> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(BadToken);
        }
        let body = text.strip_prefix(REFRESH_PREFIX).ok_or(BadToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| BadToken)?;
        let (content, mac) = bytes.split_at_checked(SID_LEN + GENERATION_LEN).ok_or(BadToken)?;
        hmac::verify(&self.refresh, content, mac).map_err(|_| BadToken)?;
        let (sid, generation) = content.split_at(SID_LEN);
        let sid = std::str::from_utf8(sid).map_err(|_| BadToken)?.parse().map_err(|_| BadToken)?;
        let generation = generation.try_into().map(i64::from_be_bytes).map_err(|_| BadToken)?;
        Ok((sid, generation))
    }

    /// A text that stands for these bytes under this name, and for nothing else.
    #[must_use]
    pub fn scoped(&self, bytes: &[u8], name: &str) -> String {
        let mut context = hmac::Context::with_key(&self.scope);
        context.update(name.as_bytes());
        context.update(&[0]);
        context.update(bytes);
        URL_SAFE_NO_PAD.encode(context.sign().as_ref())
    }
}

/// One algorithm, our names; times are ours to check, by the clock that is given.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation
}

fn derive(root: &[u8; ROOT_LEN], label: &str) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, root);
    let mut derived = [0; 32];
    derived.copy_from_slice(hmac::sign(&key, label.as_bytes()).as_ref());
    derived
}

const fn seconds(moment: Timestamp) -> i64 {
    moment.0.div_euclid(1_000)
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(redacted)")
    }
}

#[cfg(test)]
mod tests;
