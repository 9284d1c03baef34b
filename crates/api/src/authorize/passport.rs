//! The identity of a key as one signed text, for upstreams that can also be reached around the
//! proxy: plain headers anybody can write, this one only we can.
//!
//! It is a JSON Web Signature by an Ed25519 key of the instance; the public half is at
//! `/.well-known/jwks.json`. It says whose the key is and nothing about the request, so one is
//! good for every request of a key for a while, and signing costs next to nothing.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keys::Entry;
use model::Timestamp;
use quick_cache::sync::Cache;
use serde::Serialize;
use serde_json::{Value, json};

use crate::AppState;

pub const ROOT_LEN: usize = 32;
/// A new one is signed this often, seconds.
const RENEWED_S: i64 = 30;
/// How long one is good at the least, seconds.
const GOOD_S: i64 = 60;
const MAX_KEPT: usize = 10_000;
const TYPE: &str = "doorbell-identity+jwt";
/// Who signs.
const ISSUER: &str = "doorbell";

pub struct Passports {
    pair: Ed25519KeyPair,
    kid: String,
    /// The header of every token, encoded, with the dot.
    header: String,
    kept: Cache<String, HeaderValue>,
}

/// The claims. Times are Unix seconds.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    /// The keyspace, by its uid if it has one.
    aud: &'a str,
    /// The key.
    sub: &'a str,
    iat: i64,
    exp: i64,
    app: Option<&'a str>,
    owner: Option<&'a str>,
    name: &'a str,
    env: &'a str,
    /// With a space between.
    scope: &'a str,
    roles: &'a [String],
}

impl Passports {
    /// # Errors
    /// Only if the cryptography refuses a seed of the right length.
    pub fn new(seed: &[u8; ROOT_LEN]) -> Result<Self, aws_lc_rs::error::KeyRejected> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)?;
        let kid = URL_SAFE_NO_PAD.encode(&pair.public_key().as_ref()[..8]);
        let header = json!({"alg": "EdDSA", "typ": TYPE, "kid": kid}).to_string();
        let header = format!("{}.", URL_SAFE_NO_PAD.encode(header));
        Ok(Self { pair, kid, header, kept: Cache::new(MAX_KEPT) })
    }

    /// The passport of a key, good for a minute at least.
    pub(super) fn of(&self, entry: &Entry, scope: &str, now: Timestamp) -> HeaderValue {
        let iat = now.0.div_euclid(1_000).div_euclid(RENEWED_S) * RENEWED_S;
        let (keyspace, key) = (&entry.keyspace, &entry.key);
        let claims = Claims {
            iss: ISSUER,
            aud: keyspace.uid.as_deref().unwrap_or(keyspace.id.as_str()),
            sub: key.id.as_str(),
            iat,
            exp: iat + RENEWED_S + GOOD_S,
            app: key.app_id.as_ref().map(model::AppId::as_str),
            owner: key.owner.as_deref(),
            name: &key.name,
            env: &key.environment,
            scope,
            roles: &key.roles,
        };
        let Ok(claims) = serde_json::to_string(&claims) else {
            return HeaderValue::from_static("");
        };
        if let Some(kept) = self.kept.get(&claims) {
            return kept;
        }
        let signed = self.sign(&claims);
        self.kept.insert(claims, signed.clone());
        signed
    }

    fn sign(&self, claims: &str) -> HeaderValue {
        let mut text = self.header.clone();
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = self.pair.sign(text.as_bytes());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut text);
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    fn public(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x},
        ]})
    }
}

impl fmt::Debug for Passports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passports").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// What an upstream checks `X-Doorbell-Identity` with.
pub async fn public_keys(State(state): State<AppState>) -> Json<Value> {
    Json(state.passports.public())
}
