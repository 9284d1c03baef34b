//! Signing secrets on the wire.

use model::audit::Actor;
use model::endpoint::Endpoint;
use model::secret::SecretKind;
use model::signature::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AppState;
use crate::problem::{Problem, Result};

/// A secret as a caller wrote it. It never shows itself in debug output.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// `field` is where the caller wrote it.
    pub fn read(&self, field: &str) -> Result<Secret> {
        Secret::parse(&self.0).map_err(|error| {
            let why = format!("{error}; leave it out to have one generated");
            Problem::field(field, why)
        })
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

/// The secret that deliveries are signed with.
#[derive(Serialize, ToSchema)]
pub struct EndpointSecretOut {
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    key: String,
}

impl From<&Secret> for EndpointSecretOut {
    fn from(secret: &Secret) -> Self {
        Self { key: secret.to_text() }
    }
}

pub(super) const NEEDS_SHARED_KEY: &str =
    "bodySignature needs a whsec_ secret: a whsk_ one has no key that the receiver shares";

/// A signature over the body alone needs a key that the receiver shares.
pub(super) async fn check_body_signature(
    state: &AppState,
    endpoint: &Endpoint,
    wished: Option<&Secret>,
) -> Result<()> {
    if endpoint.body_signature.is_none() {
        return Ok(());
    }
    let kind = match wished {
        Some(secret) => Some(SecretKind::of(secret)),
        None => state.store.current_secret(endpoint.id).await?.as_ref().map(SecretKind::of),
    };
    if kind != Some(SecretKind::Ed25519) {
        return Ok(());
    }
    Err(Problem::field("bodySignature", NEEDS_SHARED_KEY))
}

/// Puts a secret in place, unless it is there already; the one before signs on for `grace_ms`.
pub(super) async fn replace(
    state: &AppState,
    endpoint: &Endpoint,
    secret: &Secret,
    grace_ms: u64,
    by: &Actor,
) -> Result<()> {
    let current = state.store.current_secret(endpoint.id).await?;
    if current.is_some_and(|current| current.to_text() == secret.to_text()) {
        return Ok(());
    }
    state.store.rotate_secret(endpoint.app_id, endpoint.id, secret, grace_ms, by).await?;
    Ok(())
}
