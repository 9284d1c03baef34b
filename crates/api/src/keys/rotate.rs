use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{KeyName, KeyWithToken};
use crate::AppState;
use crate::extract::OptionalBody;
use crate::problem::{Problem, ProblemDocument, Result};
use crate::wire::{Moment, never_stored};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What becomes of the secret that is good now.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotateIn {
    /// How long it stays good, up to 90 days; one day if not given.
    #[serde(default)]
    grace_ms: Option<u64>,
    /// It ends at once.
    #[serde(default)]
    expire_old_now: bool,
}

/// A key with its new token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedOut {
    #[serde(flatten)]
    pub key: KeyWithToken,
    /// Until when the secret before is good.
    pub old_ends_at: Moment,
}

/// Give a key a new token; the old one stays good for a while
///
/// It stays the same key: id, scopes, limits, usage and expiry are shared by both tokens.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/key/{key}/rotate", operation_id = "v1.key.rotate", tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    request_body = KeyRotateIn,
    responses(
        (status = 201, body = RotatedOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn rotate(
    State(state): State<AppState>,
    name: KeyName,
    OptionalBody(wish): OptionalBody<KeyRotateIn>,
) -> Result<Response> {
    let grace_ms = match (wish.grace_ms, wish.expire_old_now) {
        (Some(1..), true) => {
            return Err(Problem::field("expireOldNow", "contradicts graceMs: give one of them"));
        }
        (_, true) => 0,
        (grace_ms, false) => grace_ms.unwrap_or(DAY_MS),
    };
    name.mine_to_hand_out(&state).await?;
    let rotated = state.keys.rotate_key(name.at(), grace_ms, &name.caller.actor()).await?;
    let old_ends_at = Moment(rotated.old_ends_at);
    let key = rotated.minted.into();
    Ok(never_stored((StatusCode::CREATED, Json(RotatedOut { key, old_ends_at }))))
}
