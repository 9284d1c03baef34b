//! The public keys of an endpoint's living asymmetric secrets, as a JSON Web Key Set: in the API,
//! and without a token for receivers.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::EndpointId;
use model::signature::public_key_bytes;
use serde::Serialize;
use store::PublicKey;
use utoipa::ToSchema;

use crate::AppState;
use crate::extract::InEndpoint;
use crate::problem::{Problem, ProblemDocument, Result};

/// Shorter than any sensible grace: who caches it sees a new key while the old one still signs.
const CACHE_CONTROL: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=300");

#[derive(Debug, Serialize, ToSchema)]
pub struct JwksOut {
    /// Newest first. Empty when the endpoint's secrets are symmetric.
    keys: Vec<JwkOut>,
}

/// An Ed25519 public key.
#[derive(Debug, Serialize, ToSchema)]
pub struct JwkOut {
    #[schema(example = "OKP")]
    kty: &'static str,
    #[schema(example = "Ed25519")]
    crv: &'static str,
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    used_for: &'static str,
    #[schema(example = "EdDSA")]
    alg: &'static str,
    /// The secret's fingerprint.
    kid: String,
    x: String,
}

impl JwksOut {
    fn new(keys: Vec<PublicKey>) -> Self {
        let jwk = |key: PublicKey| {
            Some(JwkOut {
                kty: "OKP",
                crv: "Ed25519",
                used_for: "sig",
                alg: "EdDSA",
                kid: key.fingerprint,
                x: URL_SAFE_NO_PAD.encode(public_key_bytes(&key.text)?),
            })
        };
        Self { keys: keys.into_iter().filter_map(jwk).collect() }
    }
}

/// List the public keys that an endpoint's deliveries are verified with
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret/jwks",
    operation_id = "v1.endpoint.secret-jwks", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = JwksOut), (status = 404, body = ProblemDocument)),
)]
pub async fn of_endpoint(
    State(state): State<AppState>,
    InEndpoint(_app, endpoint): InEndpoint,
) -> Result<Json<JwksOut>> {
    Ok(Json(JwksOut::new(state.store.public_keys(endpoint.id).await?)))
}

/// For receivers. Whether there is no such endpoint or it has no public keys, nobody is told.
pub async fn well_known(
    State(state): State<AppState>,
    Path(endpoint): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Json<JwksOut>)> {
    let none = || Problem::not_found("public keys");
    let endpoint: EndpointId = endpoint.parse().map_err(|_| none())?;
    let keys = state.store.public_keys(endpoint).await?;
    if keys.is_empty() {
        return Err(none());
    }
    Ok(([CACHE_CONTROL], Json(JwksOut::new(keys))))
}
