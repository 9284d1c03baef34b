//! Who is calling, and whether they may.
//!
//! Every request of the API passes [`admit`]: it looks up what the route needs ([`table`]), who
//! shows which token ([`identify`]), holds the caller to Doorbell's own limits ([`limits`]),
//! compares what they may with what is needed, and hands a [`Caller`] to the handler. A route
//! that is not in the table is open to nobody. Proxies that ask about the keys of their clients
//! come in by [`admit_proxy`].
//!
//! What must always hold: a caller who knows nothing of an app is answered 404 for it, as for an
//! app that does not exist; a caller who knows the app but may not do this is answered 403.

mod address;
mod admit;
mod caller;
mod grants;
mod identify;
mod limits;
mod names;
pub mod service;
mod table;

use ipnet::IpNet;
use keys::limiter::Limiter;
use keys::passwords::{PasswordCost, PasswordError, Passwords};
use model::session::{BadToken, SessionKeys};
use store::Store;

pub use self::address::Peer;
pub(crate) use self::address::{Asker, parse as parse_address};
pub use self::admit::{ClientAddress, admit, admit_proxy};
pub use self::caller::Caller;
pub use self::grants::AppScope;
pub(crate) use self::grants::of_token;
pub(crate) use self::identify::{LiveSessions, user_agent};
pub use self::limits::{AccessLimits, LoginLimits};
pub use self::table::{ROUTES, Route, Rule};

use self::limits::Guards;
use self::names::AppNames;
use crate::auth::oidc::{Oidc, OidcOptions};

/// The uid of the keyspace whose keys are Doorbell's own service tokens.
pub use model::key::SERVICE_KEYSPACE;

/// What is configured about access.
#[derive(Clone, Debug, Default)]
pub struct AccessOptions {
    /// Where browsers reach this server; none: the host that the request names.
    pub public_url: Option<String>,
    /// Proxies in front of us, and those that ask us about keys: what they say of their clients'
    /// addresses is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub limits: AccessLimits,
    pub login: LoginLimits,
    pub password_cost: PasswordCost,
    /// None: users log in with their passwords alone.
    pub oidc: Option<OidcOptions>,
}

/// What the routes of access share.
#[derive(Debug)]
pub struct Access {
    pub(crate) sessions: LiveSessions,
    pub(crate) passwords: Passwords,
    pub(crate) guards: Guards,
    names: AppNames,
    table: table::Table,
    pub(crate) oidc: Option<Oidc>,
    trusted_proxies: Vec<IpNet>,
    pub(crate) public_url: Option<String>,
}

/// What can keep access from starting.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("session keys: {0}")]
    Sessions(#[from] BadToken),
    #[error(transparent)]
    Passwords(#[from] PasswordError),
    #[error("identity provider: {0}")]
    Oidc(#[from] model::vault::VaultError),
    #[error("identity key: {0}")]
    Passports(#[from] aws_lc_rs::error::KeyRejected),
}

impl Access {
    /// # Errors
    /// When the cryptography refuses what is configured.
    pub fn new(
        store: &Store,
        limiter: &Limiter,
        options: AccessOptions,
    ) -> Result<Self, AccessError> {
        let keys = SessionKeys::new(&store.derive("sessions"))?;
        Ok(Self {
            sessions: LiveSessions::new(keys),
            passwords: Passwords::new(options.password_cost, store.entropy().clone())?,
            guards: Guards::new(limiter.clone(), options.limits, options.login),
            names: AppNames::new(),
            table: table::Table::new(),
            oidc: options.oidc.map(|oidc| Oidc::new(oidc, store)).transpose()?,
            trusted_proxies: options.trusted_proxies,
            public_url: options.public_url,
        })
    }
}
