use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use model::Timestamp;
use model::inbound::{
    Accepted, DEFAULT_TOLERANCE_S, Headers, Hint, Key, Layer, MAX_OTHER_KEYS, MAX_TOLERANCE_S,
    Question, Rejected, Scheme,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Named, SchemeIn, Secrets, body};
use crate::AppState;
use crate::access::Caller;
use crate::endpoints::secret::SecretText;
use crate::extract::Body;
use crate::problem::{Problem, ProblemDocument, Result};
use crate::wire::Moment;

const MAX_HEADERS: usize = 100;

/// A webhook as it was received.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignatureVerifyIn {
    /// How the sender signs; what the headers say if left out.
    #[serde(default)]
    scheme: Option<SchemeIn>,
    /// As they arrived, names in any case. Those without a part in the signature may be left out.
    headers: HashMap<String, String>,
    /// As it arrived, byte for byte.
    #[serde(default)]
    body: Option<String>,
    /// Instead of `body`, for what is no text.
    #[serde(default)]
    body_base64: Option<String>,
    /// Any of them may have signed.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    secrets: Option<Vec<SecretText>>,
    /// Instead of `secrets`, with `endpointId`: the living secrets of one of your endpoints.
    #[serde(default)]
    app_id: Option<String>,
    #[serde(default)]
    endpoint_id: Option<String>,
    /// How far the timestamp may lie from now, both ways; 300 if left out, a week at the most.
    #[serde(default)]
    tolerance_seconds: Option<u64>,
    /// Remember what is good until its timestamp is too old, and refuse it when it comes again.
    #[serde(default)]
    remember: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignatureVerifyOut {
    valid: bool,
    #[schema(value_type = Option<String>, example = "webhook")]
    scheme: Option<&'static str>,
    /// Where verification stopped: `header`, `format`, `timestamp`, `secret`, `body`, `signature`
    /// or `replay`; null when it is valid.
    #[schema(value_type = Option<String>, example = "timestamp")]
    layer: Option<&'static str>,
    detail: String,
    /// What probably went wrong.
    hints: Vec<SignatureHintOut>,
    /// What a repetition is known by: the id in the headers, or the hash of what is signed.
    id: Option<String>,
    timestamp: Option<Moment>,
    /// Which secret has signed: its place in `secrets`, or among the endpoint's, the newest first.
    secret: Option<usize>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignatureHint)]
pub struct SignatureHintOut {
    #[schema(value_type = String, example = "body_reformatted")]
    code: &'static str,
    detail: String,
    /// The endpoint whose secret it was signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<String>,
}

/// Tell whether a received webhook is signed well, and if not, what is wrong
///
/// Knows Standard Webhooks (`v1`, `v1a`), Svix, Stripe, GitHub and Shopify. The answer is 200
/// whether the signature is good or not.
#[utoipa::path(
    post, path = "/api/v1/signature/verify", operation_id = "v1.signature.verify",
    tag = "Signature", request_body = SignatureVerifyIn,
    responses(
        (status = 200, body = SignatureVerifyOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn verify(
    State(state): State<AppState>,
    caller: Caller,
    Body(wish): Body<SignatureVerifyIn>,
) -> Result<Json<SignatureVerifyOut>> {
    let body = body(wish.body.as_deref(), wish.body_base64.as_deref())?;
    let headers = wish.headers()?;
    let question = Question {
        scheme: wish.scheme.map(Into::into),
        headers: &headers,
        body: &body,
        tolerance_s: wish.tolerance_s()?,
        now: state.store.clock().now(),
    };
    let secrets = Secrets::find(&state, &caller, wish.named()).await?;
    let scheme = question.scheme.or_else(|| Scheme::of(&headers)).unwrap_or(Scheme::Webhook);
    let keys = secrets.keys(&state, scheme).await?;
    let out = match question.judge(&keys, &[]) {
        Ok(accepted) if wish.remember => remembered(&state, &caller, &secrets, accepted).await?,
        Ok(accepted) => SignatureVerifyOut::good(accepted),
        Err(rejected) if rejected.layer == Layer::Signature => {
            among_others(&state, &secrets, &question, &keys)
                .await?
                .unwrap_or_else(|| rejected.into())
        }
        Err(rejected) => rejected.into(),
    };
    Ok(Json(out))
}

impl SignatureVerifyIn {
    fn named(&self) -> Named<'_> {
        Named {
            secrets: self.secrets.as_deref(),
            app: self.app_id.as_deref(),
            endpoint: self.endpoint_id.as_deref(),
        }
    }

    fn headers(&self) -> Result<Headers<'_>> {
        if self.headers.len() > MAX_HEADERS {
            return Err(Problem::field("headers", format!("may be {MAX_HEADERS} at the most")));
        }
        Ok(self.headers.iter().map(|(name, value)| (&**name, &**value)).collect())
    }

    fn tolerance_s(&self) -> Result<u64> {
        let tolerance_s = self.tolerance_seconds.unwrap_or(DEFAULT_TOLERANCE_S);
        if tolerance_s > MAX_TOLERANCE_S {
            let why = format!("must be 0 to {MAX_TOLERANCE_S}");
            return Err(Problem::field("toleranceSeconds", why));
        }
        Ok(tolerance_s)
    }
}

/// A repetition is refused, whichever node it comes to.
async fn remembered(
    state: &AppState,
    caller: &Caller,
    secrets: &Secrets<'_>,
    accepted: Accepted,
) -> Result<SignatureVerifyOut> {
    let scope = match secrets {
        Secrets::Given(_) => caller.id(),
        Secrets::Of { endpoint, .. } => endpoint.as_str(),
    };
    let name = format!("inbound {scope} {}", accepted.scheme.as_str());
    let key = state.access.sessions.keys.scoped(accepted.id.as_bytes(), &name);
    if state.store.remember(&key, accepted.remember_until).await? {
        return Ok(SignatureVerifyOut::good(accepted));
    }
    Ok(SignatureVerifyOut {
        valid: false,
        layer: Some(Layer::Replay.as_str()),
        detail: "the signature is good, but the same was accepted before".to_owned(),
        ..SignatureVerifyOut::good(accepted)
    })
}

/// Whether a secret of another endpoint of the same app has signed it.
async fn among_others(
    state: &AppState,
    secrets: &Secrets<'_>,
    question: &Question<'_>,
    keys: &[Key],
) -> Result<Option<SignatureVerifyOut>> {
    let Secrets::Of { app, endpoint } = secrets else { return Ok(None) };
    let others = state.store.living_secrets_of_others(*app, *endpoint, MAX_OTHER_KEYS).await?;
    let other_keys: Vec<Key> = others.iter().map(|(_, secret)| Key::of(secret)).collect();
    let Err(rejected) = question.judge(keys, &other_keys) else { return Ok(None) };
    let found = rejected.hints.iter().find_map(|hint| match hint {
        Hint::OtherSecret(at) => others.get(*at),
        _ => None,
    });
    let owner = found.map(|(endpoint, _)| endpoint.to_string());
    let mut out = SignatureVerifyOut::from(rejected);
    if let Some(hint) = out.hints.first_mut() {
        hint.endpoint_id = owner;
    }
    Ok(Some(out))
}

impl SignatureVerifyOut {
    fn good(accepted: Accepted) -> Self {
        let moment = |seconds: i64| Moment(Timestamp(seconds.saturating_mul(1_000)));
        Self {
            valid: true,
            scheme: Some(accepted.scheme.as_str()),
            layer: None,
            detail: "the signature is good".to_owned(),
            hints: Vec::new(),
            id: Some(accepted.id),
            timestamp: accepted.timestamp_s.map(moment),
            secret: Some(accepted.key),
        }
    }
}

impl From<Rejected> for SignatureVerifyOut {
    fn from(rejected: Rejected) -> Self {
        let hint = |hint: &Hint| SignatureHintOut {
            code: hint.code(),
            detail: hint.text(),
            endpoint_id: None,
        };
        Self {
            valid: false,
            scheme: rejected.scheme.map(Scheme::as_str),
            layer: Some(rejected.layer.as_str()),
            detail: rejected.detail,
            hints: rejected.hints.iter().map(hint).collect(),
            id: None,
            timestamp: None,
            secret: None,
        }
    }
}
