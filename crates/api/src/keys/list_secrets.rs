use axum::Json;
use axum::extract::State;
use model::key::KeySecret;
use serde::Serialize;
use utoipa::ToSchema;

use super::InKey;
use crate::AppState;
use crate::problem::{ProblemDocument, Result};
use crate::wire::Moment;

/// A secret of a key, as far as it may be shown.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeySecretOut {
    pub id: String,
    /// What people recognise the token by.
    pub start: String,
    pub created_at: Moment,
    /// Until when it is good; none: as long as its key.
    pub ends_at: Option<Moment>,
    /// Whether it has ended.
    pub ended: bool,
    pub last_used_at: Option<Moment>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct KeySecretsOut {
    /// Newest first.
    pub data: Vec<KeySecretOut>,
}

/// List the secrets of a key, with when each was used last
#[utoipa::path(
    get, path = "/api/v1/app/{app}/key/{key}/secret", operation_id = "v1.key.list_secrets",
    tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    responses((status = 200, body = KeySecretsOut), (status = 404, body = ProblemDocument)),
)]
pub async fn list_secrets(
    State(state): State<AppState>,
    InKey(row): InKey,
) -> Result<Json<KeySecretsOut>> {
    let now = state.store.clock().now();
    let secrets = state.store.secrets_of(row.key.value.id).await?;
    let out = |secret: KeySecret| KeySecretOut {
        id: secret.id.to_string(),
        start: secret.start,
        created_at: Moment(secret.created_at),
        ended: secret.ends_at.is_some_and(|end| end <= now),
        ends_at: secret.ends_at.map(Moment),
        last_used_at: secret.last_used_at.map(Moment),
    };
    let data = secrets.into_iter().map(|secret| out(secret.value)).collect();
    Ok(Json(KeySecretsOut { data }))
}
