use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use keys::{Entry, VerifyRequest};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::authorize::scopes_of;
use crate::extract::read_body;
use crate::problem::{Code, Problem, ProblemDocument, Result};
use crate::wire::never_stored;

const MAX_BODY_BYTES: usize = 16 * 1024;
const TOKEN_TYPE: &str = "api_key";

/// The form of RFC 7662 §2.1.
#[derive(Deserialize, ToSchema)]
pub struct IntrospectIn {
    /// The token as it was shown.
    #[allow(dead_code, reason = "for the document; the form is read by name")]
    token: String,
    #[allow(dead_code, reason = "for the document; there is only one type")]
    token_type_hint: Option<String>,
}

/// The answer of RFC 7662 §2.2; of a token that is not good, `active` alone.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntrospectOut {
    pub active: bool,
    #[serde(flatten)]
    #[schema(inline)]
    pub token: Option<ActiveToken>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ActiveToken {
    /// With a space between.
    pub scope: String,
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    pub token_type: &'static str,
    /// Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// Unix seconds.
    pub iat: i64,
    /// The key.
    pub sub: String,
    /// The keyspace, by its uid if it has one.
    pub aud: String,
    pub iss: &'static str,
    /// The secret.
    pub jti: String,
    /// The environment.
    pub env: String,
}

/// Check a key as an OAuth 2.0 token (RFC 7662)
///
/// Nothing is counted against limits.
#[utoipa::path(
    post, path = "/api/v1/key/introspect", operation_id = "v1.key.introspect", tag = "Key",
    request_body(content = IntrospectIn, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = IntrospectOut), (status = 400, body = ProblemDocument)),
)]
pub async fn introspect(
    State(state): State<AppState>,
    caller: Caller,
    request: Request,
) -> Result<Response> {
    let body = read_body(request, MAX_BODY_BYTES).await?;
    let mut tokens = form_urlencoded::parse(&body).filter(|(name, _)| name == "token");
    let (Some((_, token)), None) = (tokens.next(), tokens.next()) else {
        return Err(Problem::new(Code::InvalidRequest, "Send the form field `token` once."));
    };
    let question =
        VerifyRequest { app: caller.only_app()?, consume: false, ..VerifyRequest::new(&token) };
    let verdict = state.keys.verify(question).await;
    if verdict.code == model::key::decide::Code::Unavailable {
        return Err(Problem::new(Code::Unavailable, "The key cannot be checked now."));
    }
    let entry = verdict.entry.as_deref().filter(|_| verdict.is_valid());
    let out = IntrospectOut { active: entry.is_some(), token: entry.map(ActiveToken::of) };
    Ok(never_stored(Json(out)))
}

impl ActiveToken {
    fn of(entry: &Entry) -> Self {
        let (key, secret) = (&entry.key, &entry.secret);
        let ends = [key.expires_at, secret.ends_at].into_iter().flatten().min();
        Self {
            scope: scopes_of(entry),
            client_id: key.app_id.map(|id| id.to_string()),
            username: key.owner.clone(),
            token_type: TOKEN_TYPE,
            exp: ends.map(|end| end.0.div_euclid(1_000)),
            iat: secret.created_at.0.div_euclid(1_000),
            sub: key.id.to_string(),
            aud: entry.keyspace.uid.clone().unwrap_or_else(|| entry.keyspace.id.to_string()),
            iss: "doorbell",
            jti: secret.id.to_string(),
            env: key.environment.clone(),
        }
    }
}
