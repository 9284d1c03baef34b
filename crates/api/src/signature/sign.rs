use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use model::MessageId;
use model::inbound::{Scheme, ToSign};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Named, SchemeIn, Secrets, body};
use crate::AppState;
use crate::access::Caller;
use crate::endpoints::secret::SecretText;
use crate::extract::Body;
use crate::problem::{Problem, ProblemDocument, Result};
use crate::wire::{Moment, never_stored};

const MAX_ID_BYTES: usize = 256;

/// What is to be signed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignatureSignIn {
    /// Standard Webhooks if left out.
    #[serde(default)]
    scheme: Option<SchemeIn>,
    /// Made up if left out.
    #[serde(default)]
    id: Option<String>,
    /// Now if left out.
    #[serde(default)]
    timestamp: Option<Moment>,
    #[serde(default)]
    body: Option<String>,
    /// Instead of `body`, for what is no text.
    #[serde(default)]
    body_base64: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    secrets: Option<Vec<SecretText>>,
    /// Instead of `secrets`, with `endpointId`: the living secrets of one of your endpoints.
    #[serde(default)]
    app_id: Option<String>,
    #[serde(default)]
    endpoint_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SignatureSignOut {
    #[schema(value_type = String, example = "webhook")]
    scheme: &'static str,
    /// To send with the body, byte for byte.
    headers: BTreeMap<&'static str, String>,
}

/// Sign a body as a sender would, to try a receiver with
#[utoipa::path(
    post, path = "/api/v1/signature/sign", operation_id = "v1.signature.sign",
    tag = "Signature", request_body = SignatureSignIn,
    responses(
        (status = 200, body = SignatureSignOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn sign(
    State(state): State<AppState>,
    caller: Caller,
    Body(wish): Body<SignatureSignIn>,
) -> Result<Response> {
    let body = body(wish.body.as_deref(), wish.body_base64.as_deref())?;
    let scheme = wish.scheme.map_or(Scheme::Webhook, Scheme::from);
    let now = state.store.clock().now();
    let id = match &wish.id {
        Some(id) if is_id(id) => id.clone(),
        Some(_) => {
            let why = format!("must be 1 to {MAX_ID_BYTES} visible ASCII characters");
            return Err(Problem::field("id", why));
        }
        None => MessageId::new(now, state.store.entropy()).to_string(),
    };
    let named = Named {
        secrets: wish.secrets.as_deref(),
        app: wish.app_id.as_deref(),
        endpoint: wish.endpoint_id.as_deref(),
    };
    let keys = Secrets::find(&state, &caller, named).await?.keys(&state, scheme).await?;
    let timestamp_s = wish.timestamp.map_or(now, |moment| moment.0).seconds();
    let to_sign = ToSign { scheme, id: &id, timestamp_s, body: &body };
    let headers = to_sign.headers(&keys).map_err(|why| Problem::field("secrets", why))?;
    let headers = headers.into_iter().collect();
    Ok(never_stored(Json(SignatureSignOut { scheme: scheme.as_str(), headers })))
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
