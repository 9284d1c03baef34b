use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::problem::Result;

/// What a walk along the chain found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerdictOut {
    /// Whether every entry is as it was written.
    sound: bool,
    /// Entries that are, from the first one on.
    entries: i64,
    /// The hash of the last of them. Kept elsewhere, it shows whether the log was later replaced
    /// as a whole.
    hash: String,
    /// The first entry that was changed, removed or added past Doorbell.
    broken_at: Option<i64>,
}

/// Verify the audit log
///
/// Reads the whole log.
#[utoipa::path(
    get, path = "/api/v1/audit-log/verify", operation_id = "v1.audit-log.verify",
    tag = "Audit log", responses((status = 200, body = AuditVerdictOut)),
)]
pub async fn verify(State(state): State<AppState>, _: Caller) -> Result<Json<AuditVerdictOut>> {
    let verdict = state.store.verify_audit().await?;
    if let Some(seq) = verdict.broken_at {
        tracing::error!(seq, "the audit log was tampered with");
    }
    Ok(Json(AuditVerdictOut {
        sound: verdict.broken_at.is_none(),
        entries: verdict.entries,
        hash: model::audit::hex(&verdict.hash),
        broken_at: verdict.broken_at,
    }))
}
