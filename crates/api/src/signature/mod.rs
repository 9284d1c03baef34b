//! Signatures of webhooks that somebody received: tell what is wrong with one, or make one to try
//! a receiver with. Nothing is kept, but ids when the caller wants repetitions to be noticed.

pub mod sign;
pub mod verify;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::access::Permission;
use model::inbound::{Key, MAX_KEYS, Scheme};
use model::{AppId, EndpointId};
use serde::Deserialize;
use store::AppRef;
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::endpoints::secret::SecretText;
use crate::problem::{Problem, Result};

/// How senders sign.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SignatureScheme)]
pub enum SchemeIn {
    /// Standard Webhooks.
    Webhook,
    Svix,
    Stripe,
    Github,
    Shopify,
}

impl From<SchemeIn> for Scheme {
    fn from(scheme: SchemeIn) -> Self {
        match scheme {
            SchemeIn::Webhook => Self::Webhook,
            SchemeIn::Svix => Self::Svix,
            SchemeIn::Stripe => Self::Stripe,
            SchemeIn::Github => Self::Github,
            SchemeIn::Shopify => Self::Shopify,
        }
    }
}

/// A body, as text or as base64.
fn body(text: Option<&str>, encoded: Option<&str>) -> Result<Vec<u8>> {
    match (text, encoded) {
        (Some(text), None) => Ok(text.as_bytes().to_vec()),
        (None, Some(encoded)) => {
            STANDARD.decode(encoded).map_err(|error| Problem::field("bodyBase64", error))
        }
        _ => Err(Problem::field("body", "give either body or bodyBase64")),
    }
}

/// Whose secrets are used.
enum Secrets<'a> {
    Given(&'a [SecretText]),
    Of { app: AppId, endpoint: EndpointId },
}

/// The three ways to name secrets in a body.
#[derive(Clone, Copy)]
struct Named<'a> {
    secrets: Option<&'a [SecretText]>,
    app: Option<&'a str>,
    endpoint: Option<&'a str>,
}

impl<'a> Secrets<'a> {
    /// Asks for the permission to read the secrets of an endpoint that is named.
    async fn find(state: &AppState, caller: &Caller, named: Named<'a>) -> Result<Self> {
        match (named.secrets, named.app, named.endpoint) {
            (Some(secrets), None, None) if secrets.len() <= MAX_KEYS => Ok(Self::Given(secrets)),
            (Some(_), None, None) => {
                Err(Problem::field("secrets", format!("may be {MAX_KEYS} at the most")))
            }
            (None, Some(app), Some(endpoint)) => {
                let app = state.store.app(&AppRef::new(app)).await?;
                let app = app.ok_or_else(|| Problem::not_found("application"))?.id;
                caller.need_in_app(app, Permission::SecretsRead)?;
                let found = state.store.endpoint_in_app(app, endpoint).await?;
                let endpoint = found.ok_or_else(|| Problem::not_found("endpoint"))?.id;
                Ok(Self::Of { app, endpoint })
            }
            _ => Err(Problem::field("secrets", "give either secrets or appId and endpointId")),
        }
    }

    async fn keys(&self, state: &AppState, scheme: Scheme) -> Result<Vec<Key>> {
        match self {
            Self::Given(secrets) => read(secrets, scheme),
            Self::Of { endpoint, .. } => {
                let secrets = state.store.living_secrets(*endpoint).await?;
                Ok(secrets.iter().map(Key::of).take(MAX_KEYS).collect())
            }
        }
    }
}

fn read(secrets: &[SecretText], scheme: Scheme) -> Result<Vec<Key>> {
    let read = |(at, secret): (usize, &SecretText)| {
        Key::parse(scheme, secret.as_str())
            .map_err(|why| Problem::at(&["body", "secrets", &at.to_string()], why))
    };
    secrets.iter().enumerate().map(read).collect()
}
