//! Who is calling: `Authorization: Bearer <token>`.
//!
//! A token is looked up by its keyed hash and remembered for a moment, so that the hot path asks
//! the database once in [`FRESH_MS`] per token, and a revoked one is refused soon after.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::token::{Pepper, Token};
use model::{Timestamp, TokenId};
use quick_cache::sync::Cache;

use crate::AppState;
use crate::problem::{Code, Problem, Result};

/// How long a look-up is believed.
const FRESH_MS: u64 = 2_000;
/// Tokens remembered at the most, good and bad.
const MAX_REMEMBERED: usize = 10_000;
/// Longer texts are no tokens of ours.
const MAX_TOKEN_LEN: usize = 256;

/// Somebody with a valid token. For now every token is an administrator's.
#[derive(Clone, Debug)]
pub struct Caller {
    pub token_id: TokenId,
}

#[derive(Debug)]
pub struct Tokens {
    pepper: Pepper,
    seen: Cache<[u8; 32], (Timestamp, Option<Arc<Token>>)>,
}

impl Tokens {
    #[must_use]
    pub fn new(pepper: Pepper) -> Self {
        Self { pepper, seen: Cache::new(MAX_REMEMBERED) }
    }
}

impl Tokens {
    /// A text that stands for these bytes under this name, and for nothing else.
    pub(crate) fn scoped(&self, bytes: &[u8], name: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.pepper.hash_scoped(bytes, name))
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let text = bearer(parts)?;
        let hash = state.tokens.pepper.hash(text);
        let now = state.store.clock().now();
        let token = match state.tokens.seen.get(&hash) {
            Some((at, token)) if now.since_ms(at) < FRESH_MS => token,
            _ => {
                let token = state.store.token_by_hash(&hash).await?.map(Arc::new);
                state.tokens.seen.insert(hash, (now, token.clone()));
                token
            }
        };
        match token {
            Some(token) => Ok(Self { token_id: token.id }),
            None => Err(unauthorized("The token is not valid.")),
        }
    }
}

fn bearer(parts: &Parts) -> Result<&str> {
    let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
        return Err(unauthorized("Send the header `Authorization: Bearer <token>`."));
    };
    let text = value.to_str().unwrap_or_default();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > MAX_TOKEN_LEN {
        return Err(unauthorized("Send the header `Authorization: Bearer <token>`."));
    }
    Ok(token)
}

fn unauthorized(detail: &'static str) -> Problem {
    Problem::new(Code::Unauthorized, detail)
}
