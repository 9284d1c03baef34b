use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::verdict::VerdictOut;
use super::verify::VerifyIn;
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::{Problem, ProblemDocument, Result};

const MAX_KEYS: usize = 100;

#[derive(Deserialize, ToSchema)]
pub struct VerifyBatchIn {
    /// Up to 100 questions, each as `/key/verify` takes it.
    keys: Vec<VerifyIn>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VerifyBatchOut {
    /// In the order of the questions.
    pub data: Vec<VerdictOut>,
}

/// Check several keys, one after the other
#[utoipa::path(
    post, path = "/api/v1/key/verify-batch", operation_id = "v1.key.verify_batch", tag = "Key",
    request_body = VerifyBatchIn,
    responses((status = 200, body = VerifyBatchOut), (status = 422, body = ProblemDocument)),
)]
pub async fn verify_batch(
    State(state): State<AppState>,
    caller: Caller,
    Body(wish): Body<VerifyBatchIn>,
) -> Result<Json<VerifyBatchOut>> {
    if wish.keys.len() > MAX_KEYS {
        return Err(Problem::field("keys", format!("may be {MAX_KEYS} at the most")));
    }
    let mut data = Vec::with_capacity(wish.keys.len());
    for (index, one) in wish.keys.iter().enumerate() {
        let at = format!("keys[{index}].scopes");
        let verdict = one.verify(&state.keys, caller.only_app()?, &at).await?;
        data.push(VerdictOut::from(&verdict));
    }
    Ok(Json(VerifyBatchOut { data }))
}
