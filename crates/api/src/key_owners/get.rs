use axum::Json;
use axum::extract::State;
use store::OwnerRef;

use super::{KeyOwnerOut, OwnerName};
use crate::AppState;
use crate::problem::{ProblemDocument, Result};

/// Get an owner of keys
///
/// Owners need not be made: one that nobody has set anything for is enabled and has no limits.
#[utoipa::path(
    get, path = "/api/v1/app/{app}/keyspace/{keyspace}/owner/{owner}",
    operation_id = "v1.key_owner.get", tag = "Key owner",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("keyspace" = String, Path, description = "The keyspace's id or uid"),
        ("owner" = String, Path, description = "The owner, in your own words"),
    ),
    responses((status = 200, body = KeyOwnerOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(State(state): State<AppState>, owner: OwnerName) -> Result<Json<KeyOwnerOut>> {
    let at = owner.at();
    let owner = OwnerRef { keyspace: at.keyspace, app: at.app, name: &at.name };
    let found = state.store.key_owner(owner).await?;
    Ok(Json(found.map_or_else(|| unwritten(&at), |owner| owner.value.into())))
}

fn unwritten(at: &keys::OwnerAt) -> KeyOwnerOut {
    KeyOwnerOut {
        keyspace_id: at.keyspace.to_string(),
        app_id: at.app.map(|id| id.to_string()),
        name: at.name.clone(),
        enabled: true,
        limits: Vec::new(),
    }
}
