use axum::Json;
use axum::extract::State;
use model::key::RevocationReason;
use serde::Deserialize;
use utoipa::ToSchema;

use super::KeyName;
use super::revocation::{RevokedOut, check_note};
use crate::AppState;
use crate::extract::OptionalBody;
use crate::problem::{ProblemDocument, Result};

/// How long an answer may wait for all nodes.
const MAX_WAIT_MS: u64 = 10_000;

/// Why, and whether to wait.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRevokeIn {
    /// `unspecified`, `key_compromise`, `affiliation_changed`, `superseded`,
    /// `cessation_of_operation` or `privilege_withdrawn`.
    #[serde(default)]
    #[schema(value_type = String, example = "key_compromise")]
    reason: RevocationReason,
    #[serde(default)]
    note: Option<String>,
    /// Answer when every living node refuses the key, or after ten seconds.
    #[serde(default)]
    wait: bool,
}

/// Revoke a key for good
#[utoipa::path(
    post, path = "/api/v1/app/{app}/key/{key}/revoke", operation_id = "v1.key.revoke", tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    request_body = KeyRevokeIn,
    responses(
        (status = 200, body = RevokedOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn revoke(
    State(state): State<AppState>,
    name: KeyName,
    OptionalBody(wish): OptionalBody<KeyRevokeIn>,
) -> Result<Json<RevokedOut>> {
    check_note(wish.note.as_deref())?;
    let wait_ms = wish.wait.then_some(MAX_WAIT_MS);
    let by = name.caller.actor();
    let revoked = state.keys.revoke_key(name.at(), wish.reason, wish.note, wait_ms, &by).await?;
    Ok(Json(revoked.into()))
}
