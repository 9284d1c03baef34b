use axum::Json;
use axum::extract::State;
use model::Timestamp;
use model::secret::{CheckOutcome, SecretKind, SecretReason, SecretState};
use serde::Serialize;
use store::SecretRecord;
use utoipa::ToSchema;

use crate::AppState;
use crate::extract::InEndpoint;
use crate::problem::{ProblemDocument, Result};
use crate::wire::Moment;

/// A secret that an endpoint has or had. It is never shown itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRecordOut {
    /// The first 16 hex digits of the SHA-256 of the secret, or of its public key, as text. Null
    /// of one that ended before history was kept.
    #[schema(example = "9f86d081884c7d65")]
    pub fingerprint: Option<String>,
    /// `hmac` signs `v1`, `ed25519` signs `v1a`.
    #[schema(value_type = Option<String>)]
    pub kind: Option<SecretKind>,
    /// Of an `ed25519` one.
    #[schema(example = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")]
    pub public_key: Option<String>,
    /// `current`, `grace`, `expired` or `revoked`.
    #[schema(value_type = String)]
    pub state: SecretState,
    pub created_at: Moment,
    /// Who made it.
    pub created_by: Option<String>,
    /// `created` with its endpoint, `rotated` by somebody, or renewed by a `policy`.
    #[schema(value_type = String)]
    pub reason: SecretReason,
    /// Until when it signs, or when it ended. Null of the current one.
    pub ends_at: Option<Moment>,
    pub revoked_at: Option<Moment>,
    pub revoked_by: Option<String>,
    /// Whether the receiver was seen to accept it, if somebody asked.
    pub check: Option<SecretCheckOut>,
}

/// Whether a receiver accepts a secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretCheckOut {
    /// The secret that is tried.
    pub fingerprint: Option<String>,
    /// `waiting` or `done`.
    pub status: &'static str,
    pub requested_at: Moment,
    pub checked_at: Option<Moment>,
    /// `accepted`: it took a message signed with this secret alone and refused one signed with
    /// another. `refused`: it refused the first. `does_not_verify`: it took both. `unreachable`:
    /// it gave no answer that says anything.
    #[schema(value_type = Option<String>)]
    pub outcome: Option<CheckOutcome>,
    /// What it answered.
    pub detail: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SecretHistoryOut {
    /// Newest first, 200 at the most.
    pub data: Vec<SecretRecordOut>,
}

impl SecretRecordOut {
    pub fn new(record: SecretRecord, now: Timestamp) -> Self {
        Self {
            state: record.state(now),
            check: SecretCheckOut::of(&record),
            fingerprint: record.fingerprint,
            kind: record.kind,
            public_key: record.public_key,
            created_at: Moment(record.created_at),
            created_by: record.actor,
            reason: record.reason,
            ends_at: record.ends_at.map(Moment),
            revoked_at: record.revoked_at.map(Moment),
            revoked_by: record.revoked_by,
        }
    }
}

impl SecretCheckOut {
    /// None when nobody asked.
    pub fn of(record: &SecretRecord) -> Option<Self> {
        let requested_at = Moment(record.check_requested_at?);
        Some(Self {
            fingerprint: record.fingerprint.clone(),
            status: if record.checked_at.is_some() { "done" } else { "waiting" },
            requested_at,
            checked_at: record.checked_at.map(Moment),
            outcome: record.check_outcome,
            detail: record.check_detail.clone(),
        })
    }
}

/// List the secrets an endpoint has and had: who made each, when, why, and how it ended
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret/history",
    operation_id = "v1.endpoint.secret-history", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = SecretHistoryOut), (status = 404, body = ProblemDocument)),
)]
pub async fn secret_history(
    State(state): State<AppState>,
    InEndpoint(app, endpoint): InEndpoint,
) -> Result<Json<SecretHistoryOut>> {
    let now = state.store.clock().now();
    let history = state.store.secret_history(app.id, endpoint.id).await?;
    let data = history.into_iter().map(|record| SecretRecordOut::new(record, now)).collect();
    Ok(Json(SecretHistoryOut { data }))
}
