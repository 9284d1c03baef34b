use axum::Json;
use axum::extract::State;
use model::EndpointId;
use model::secret::{MAX_GRACE_SECONDS, SecretKind};
use model::signature::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use super::secret::{self, EndpointSecretOut, SecretText};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{InEndpoint, OptionalBody};
use crate::problem::{Problem, ProblemDocument, Result};

const DAY_S: u64 = 24 * 60 * 60;
const DEFAULT_GRACE_S: u64 = DAY_S;
const MAX_GRACE_S: u64 = MAX_GRACE_SECONDS;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSecretRotateIn {
    /// `whsec_` or `whsk_` with base64; generated if left out.
    #[schema(value_type = Option<String>)]
    key: Option<SecretText>,
    /// How long the secret before signs on beside the new one; a day if left out, 30 days at the
    /// most.
    grace_period_seconds: Option<u64>,
    /// What kind is generated: `hmac` or `ed25519`; that of the secret before if left out.
    #[schema(value_type = Option<String>)]
    kind: Option<SecretKind>,
}

/// Give an endpoint a new secret
///
/// Deliveries carry a signature of each secret until the grace period is over.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret/rotate",
    operation_id = "v1.endpoint.rotate-secret", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = Option<EndpointSecretRotateIn>,
    responses(
        (status = 200, body = EndpointSecretOut, description = "The new secret"),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn rotate_secret(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(_app, endpoint): InEndpoint,
    OptionalBody(wish): OptionalBody<EndpointSecretRotateIn>,
) -> Result<Json<EndpointSecretOut>> {
    let grace_s = wish.grace_period_seconds.unwrap_or(DEFAULT_GRACE_S);
    if grace_s > MAX_GRACE_S {
        let why = format!("must be 0 to {MAX_GRACE_S}");
        return Err(Problem::field("gracePeriodSeconds", why));
    }
    let key = match &wish.key {
        Some(key) => key.read("key")?,
        None => generated(&state, endpoint.id, wish.kind).await?,
    };
    if endpoint.body_signature.is_some() && SecretKind::of(&key) == SecretKind::Ed25519 {
        let field = if wish.key.is_some() { "key" } else { "kind" };
        return Err(Problem::field(field, secret::NEEDS_SHARED_KEY));
    }
    secret::replace(&state, &endpoint, &key, grace_s * 1_000, &caller.actor()).await?;
    Ok(Json(EndpointSecretOut::from(&key)))
}

async fn generated(
    state: &AppState,
    endpoint: EndpointId,
    kind: Option<SecretKind>,
) -> Result<Secret> {
    let kind = match kind {
        Some(kind) => kind,
        None => {
            let current = state.store.current_secret(endpoint).await?;
            current.as_ref().map_or(SecretKind::Hmac, SecretKind::of)
        }
    };
    let entropy = state.store.entropy();
    Ok(match kind {
        SecretKind::Hmac => Secret::generate_hmac(entropy),
        SecretKind::Ed25519 => Secret::generate_ed25519(entropy),
    })
}
