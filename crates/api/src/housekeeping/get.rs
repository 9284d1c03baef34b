use axum::Json;
use axum::extract::State;
use store::Chore;

use super::HousekeepingOut;
use crate::AppState;
use crate::access::Caller;
use crate::problem::Result;

/// Get what housekeeping did and when it is due
#[utoipa::path(
    get, path = "/api/v1/housekeeping", operation_id = "v1.housekeeping.get",
    tag = "Housekeeping", responses((status = 200, body = HousekeepingOut)),
)]
pub async fn get(State(state): State<AppState>, _: Caller) -> Result<Json<HousekeepingOut>> {
    let store = &state.store;
    let mut chores = Vec::new();
    for chore in Chore::ALL {
        chores.push(store.chore(chore).await?.into());
    }
    let runs = store.chore_runs().await?.into_iter().map(Into::into).collect();
    Ok(Json(HousekeepingOut { chores, runs, sizes: store.sizes().await?.into() }))
}
