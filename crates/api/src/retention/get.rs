use axum::Json;
use axum::extract::State;

use super::RetentionOut;
use crate::AppState;
use crate::access::Caller;
use crate::problem::Result;

/// Get for how long the instance keeps what grows
#[utoipa::path(
    get, path = "/api/v1/retention", operation_id = "v1.retention.get", tag = "Retention",
    responses((status = 200, body = RetentionOut)),
)]
pub async fn get(State(state): State<AppState>, _: Caller) -> Result<Json<RetentionOut>> {
    Ok(Json(state.store.retention().into()))
}
