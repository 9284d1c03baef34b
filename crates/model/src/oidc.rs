//! Logging in at an identity provider (OpenID Connect): the part without I/O.
//!
//! A [`Login`] holds the secrets of one login, from the redirect to the provider until the
//! browser comes back. A [`Provider`] is what the provider's discovery document says of it, as
//! far as it is believed. [`id_token`] decides whether an ID token is good and whom it names.
//!
//! What must always hold: the issuer is the one that the operator named, letter by letter; only
//! the algorithms of a fixed list are known, all of them asymmetric; a token is for us, for this
//! login, and not over.

pub mod id_token;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Entropy, Timestamp};

/// How long somebody may take at the provider.
pub const LOGIN_MS: u64 = 10 * 60 * 1_000;
const RANDOM_BYTES: usize = 32;

/// The secrets of one login. The browser carries them, sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Comes back with the browser: this is the login that was begun here.
    pub state: String,
    /// Comes back inside the ID token: it was made for this login.
    pub nonce: String,
    /// Shown with the code (PKCE): whoever brings it is who asked for it.
    pub verifier: String,
    pub expires_at: Timestamp,
}

impl Login {
    #[must_use]
    pub fn begin(now: Timestamp, entropy: &Entropy) -> Self {
        let random = || {
            let mut bytes = [0; RANDOM_BYTES];
            entropy.fill(&mut bytes);
            URL_SAFE_NO_PAD.encode(bytes)
        };
        let expires_at = now.plus_ms(LOGIN_MS);
        Self { state: random(), nonce: random(), verifier: random(), expires_at }
    }

    /// What the provider sees of the verifier before the code is out.
    #[must_use]
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Where a provider is asked what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Provider {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub jwks_uri: String,
    /// How clients may show their secret; nothing means in a header.
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Why a discovery document is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProvider {
    #[error("it is not a discovery document: {0}")]
    Unreadable(String),
    #[error("it is of the issuer {0}")]
    OtherIssuer(String),
    #[error("it names {0}, which is no URL of https")]
    NotHttps(String),
}

impl Provider {
    /// Where the discovery document of an issuer is.
    #[must_use]
    pub fn document_url(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// # Errors
    /// When the document is not one, not of this issuer, or names a place that is not https
    /// although `plain_http` is not allowed.
    pub fn read(document: &[u8], issuer: &str, plain_http: bool) -> Result<Self, BadProvider> {
        let provider: Self = serde_json::from_slice(document)
            .map_err(|error| BadProvider::Unreadable(error.to_string()))?;
        if provider.issuer != issuer {
            return Err(BadProvider::OtherIssuer(provider.issuer));
        }
        for place in
            [&provider.authorization_endpoint, &provider.token_endpoint, &provider.jwks_uri]
        {
            let scheme = Url::parse(place).map(|url| url.scheme().to_owned()).unwrap_or_default();
            if !(scheme == "https" || (plain_http && scheme == "http")) {
                return Err(BadProvider::NotHttps(place.clone()));
            }
        }
        Ok(provider)
    }

    /// Whether the client's secret goes into the body, because the provider reads no header.
    #[must_use]
    pub fn wants_secret_in_body(&self) -> bool {
        let has = |methods: &Vec<String>, name: &str| methods.iter().any(|method| method == name);
        self.token_endpoint_auth_methods_supported.as_ref().is_some_and(|methods| {
            !has(methods, "client_secret_basic") && has(methods, "client_secret_post")
        })
    }
}
