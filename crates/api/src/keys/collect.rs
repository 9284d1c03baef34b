use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::KeyName;
use crate::AppState;
use crate::problem::{ProblemDocument, Result};
use crate::wire::never_stored;

/// A token, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct CollectedOut {
    /// Keep it now: nobody can show it again.
    #[schema(example = "oh_live_…")]
    pub token: String,
}

/// Collect the new token of a key that was rotated by its policy
///
/// It waits for whoever comes first, until the grace of the old token is over and for one day at
/// least. A later rotation takes its place.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/key/{key}/collect",
    operation_id = "v1.key.collect", tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    responses(
        (status = 200, body = CollectedOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "No token waits"),
    ),
)]
pub async fn collect(State(state): State<AppState>, name: KeyName) -> Result<Response> {
    name.mine_to_hand_out(&state).await?;
    let token = state.keys.collect_token(name.at(), &name.caller.actor()).await?;
    Ok(never_stored(Json(CollectedOut { token })))
}
