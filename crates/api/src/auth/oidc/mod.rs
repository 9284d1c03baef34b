//! Logging in at an identity provider (OpenID Connect), if one is configured: the authorization
//! code flow with PKCE.
//!
//! [`start`] sends the browser to the provider and gives it the secrets of this login, sealed, in
//! a cookie. The provider sends it back to [`callback`], which takes the cookie and the state that
//! the browser brings, asks the provider for the ID token ([`client`]), finds out which user of
//! ours is meant ([`person`]), and begins a session like any other.
//!
//! What must always hold: a login comes back to the browser that began it, once, and in time;
//! what is fetched, is fetched from where the configured issuer says; a user is found by issuer
//! and subject, and by an address for mail only where the operator wishes it and the provider has
//! verified it.

pub mod callback;
mod client;
mod cookie;
pub mod fetch;
mod person;
pub mod start;

use model::access::Role;
use model::vault::{Vault, VaultError};
use store::Store;

use self::client::Client;
pub use self::fetch::Fetch;
use crate::AppState;
use crate::problem::{Problem, Result};

/// What is configured about the provider.
#[derive(Clone)]
pub struct OidcOptions {
    /// As the provider writes it in its own documents.
    pub issuer: String,
    pub client_id: String,
    /// None: a public client, which PKCE alone protects.
    pub client_secret: Option<String>,
    /// The callback of this server, as the provider knows it.
    pub redirect_url: String,
    /// Verified addresses may be of these domains alone; empty: of any.
    pub email_domains: Vec<String>,
    /// Whether a user is found by a verified address, the first time.
    pub link_by_email: bool,
    /// Whether a user is made for whom there is none, and with which role on the instance.
    pub default_role: Option<Role>,
    /// Whether the provider may be asked without TLS.
    pub plain_http: bool,
    pub fetch: Fetch,
}

impl std::fmt::Debug for OidcOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcOptions")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What the two routes share.
#[derive(Debug)]
pub(crate) struct Oidc {
    options: OidcOptions,
    client: Client,
    /// Seals what a browser carries.
    seal: Vault,
}

impl Oidc {
    pub fn new(options: OidcOptions, store: &Store) -> Result<Self, VaultError> {
        let seal = Vault::new(&store.derive("oidc logins"), store.entropy().clone())?;
        Ok(Self { client: Client::new(&options), seal, options })
    }
}

/// The provider, or that there is none.
fn configured(state: &AppState) -> Result<&Oidc> {
    state.access.oidc.as_ref().ok_or_else(|| Problem::not_found("identity provider"))
}
