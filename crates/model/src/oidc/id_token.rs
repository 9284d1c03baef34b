//! Whether an ID token is good, and whom it names.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use crate::Timestamp;

/// Longer texts are no ID tokens.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Keys of one provider that are looked at.
pub const MAX_KEYS: usize = 64;
/// How far the provider's clock and ours may be apart.
pub const MAX_SKEW_S: i64 = 60;
const MAX_SUBJECT_BYTES: usize = 255;
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// The public keys of a provider.
#[derive(Clone, Debug, Default)]
pub struct ProviderKeys(Vec<Jwk>);

/// Why an ID token is not good. For the log: a caller is told only that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdToken {
    #[error("it is no token")]
    Malformed,
    #[error("its algorithm is none of RS256, ES256 and EdDSA")]
    Algorithm,
    #[error("the provider has no such key")]
    UnknownKey,
    #[error("signature, issuer or audience are not right")]
    Refused,
    #[error("it was made for another client")]
    OtherParty,
    #[error("it was made for another login")]
    Nonce,
    #[error("it is over, or not yet good")]
    Time,
    #[error("it names nobody")]
    Subject,
}

/// What a good token has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
}

/// Whom a good token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub subject: String,
    pub email: Option<String>,
    /// The provider knows that the address is theirs.
    pub email_verified: bool,
    pub name: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Value,
    #[serde(default)]
    azp: Option<String>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    email: Option<String>,
    /// Some providers write it as a text.
    #[serde(default)]
    email_verified: Value,
    #[serde(default)]
    name: Option<String>,
}

impl ProviderKeys {
    /// Reads a JWKS. What is no key that we know is passed over.
    #[must_use]
    pub fn read(document: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(document).ok()?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        Some(Self(keys.filter_map(|key| serde_json::from_value(key).ok()).collect()))
    }

    /// The one key that a token of this header can be signed with.
    fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<&Jwk> {
        let mut fitting = self.0.iter().filter(|key| {
            fits(key, algorithm) && (id.is_none() || key.common.key_id.as_deref() == id)
        });
        let key = fitting.next()?;
        // Without a name there must be no choice.
        (id.is_some() || fitting.next().is_none()).then_some(key)
    }
}

/// A key is for one algorithm: the token's header does not choose what it is used for.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(point), Algorithm::ES256) => {
            point.curve == EllipticCurve::P256
        }
        (AlgorithmParameters::OctetKeyPair(point), Algorithm::EdDSA) => {
            point.curve == EllipticCurve::Ed25519
        }
        _ => false,
    };
    let named = key.common.key_algorithm;
    let for_signing = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    kind && for_signing && named.is_none_or(|named| named == algorithm.into())
}

/// # Errors
/// When the token is not good. [`BadIdToken::UnknownKey`] may become good with newer keys.
pub fn check(
    token: &str,
    keys: &ProviderKeys,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Person, BadIdToken> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(BadIdToken::Malformed);
    }
    let header =
        jsonwebtoken::decode_header(token).map_err(|_| match token.split('.').count() {
            // `none` and its like are no algorithms at all.
            3 => BadIdToken::Algorithm,
            _ => BadIdToken::Malformed,
        })?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(BadIdToken::Algorithm);
    }
    let key = keys.find(header.alg, header.kid.as_deref()).ok_or(BadIdToken::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|_| BadIdToken::UnknownKey)?;
    let validation = validation(header.alg, expected);
    let decoded = jsonwebtoken::decode::<Claims>(token, &key, &validation);
    let claims = decoded.map_err(|_| BadIdToken::Refused)?.claims;
    claims.check(expected, now.seconds())?;
    Ok(claims.person())
}

fn validation(algorithm: Algorithm, expected: &Expected<'_>) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["iss", "aud", "sub"]);
    // By our own clock, below.
    validation.validate_exp = false;
    validation
}

impl Claims {
    fn check(&self, expected: &Expected<'_>, now_s: i64) -> Result<(), BadIdToken> {
        // A token for several names the one that it was made for.
        let is_for_several = self.aud.as_array().is_some_and(|all| all.len() > 1);
        let is_ours = match self.azp.as_deref() {
            Some(party) => party == expected.client_id,
            None => !is_for_several,
        };
        if !is_ours {
            return Err(BadIdToken::OtherParty);
        }
        if self.nonce.as_deref() != Some(expected.nonce) {
            return Err(BadIdToken::Nonce);
        }
        let (past, ahead) = (now_s.saturating_sub(MAX_SKEW_S), now_s.saturating_add(MAX_SKEW_S));
        let in_time =
            past < self.exp && self.iat <= ahead && self.nbf.is_none_or(|from| from <= ahead);
        if !in_time {
            return Err(BadIdToken::Time);
        }
        if self.sub.is_empty() || self.sub.len() > MAX_SUBJECT_BYTES || self.sub.contains('\0') {
            return Err(BadIdToken::Subject);
        }
        Ok(())
    }

    fn person(self) -> Person {
        let email_verified =
            self.email_verified == Value::Bool(true) || self.email_verified == "true";
        Person { subject: self.sub, email: self.email, email_verified, name: self.name }
    }
}
