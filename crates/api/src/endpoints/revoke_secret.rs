use axum::Json;
use axum::extract::State;
use model::secret::SecretState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::secret_history::SecretRecordOut;
use crate::AppState;
use crate::access::Caller;
use crate::extract::{InEndpoint, OptionalBody};
use crate::problem::{Problem, ProblemDocument, Result};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct EndpointSecretRevokeIn {
    /// Which old secret; all of them if left out.
    #[schema(example = "9f86d081884c7d65")]
    fingerprint: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointSecretRevokeOut {
    /// How many ended by this.
    revoked: u64,
    /// The secrets that are left or were revoked, newest first.
    data: Vec<SecretRecordOut>,
}

/// End the grace of old secrets at once
///
/// The current secret stays: to end it, rotate.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret/revoke",
    operation_id = "v1.endpoint.revoke-secret", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = Option<EndpointSecretRevokeIn>,
    responses(
        (status = 200, body = EndpointSecretRevokeOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn revoke_secret(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
    OptionalBody(wish): OptionalBody<EndpointSecretRevokeIn>,
) -> Result<Json<EndpointSecretRevokeOut>> {
    let now = state.store.clock().now();
    let wished = wish.fingerprint.as_deref();
    if let Some(wished) = wished {
        let history = state.store.secret_history(app.id, endpoint.id).await?;
        let mut named =
            history.iter().filter(|record| record.fingerprint.as_deref() == Some(wished));
        match named.next() {
            None => {
                return Err(Problem::field("fingerprint", "is of no secret of this endpoint"));
            }
            Some(record) if record.state(now) == SecretState::Current => {
                let why = "is the current secret: rotate it with a grace period of 0 instead";
                return Err(Problem::field("fingerprint", why));
            }
            Some(_) => {}
        }
    }
    let by = caller.actor();
    let revoked = state.store.revoke_old_secrets(app.id, endpoint.id, wished, &by).await?;
    let history = state.store.secret_history(app.id, endpoint.id).await?;
    let told = |record: &SecretRecordOut| record.state != SecretState::Expired;
    let data = history.into_iter().map(|record| SecretRecordOut::new(record, now)).filter(told);
    Ok(Json(EndpointSecretRevokeOut { revoked, data: data.collect() }))
}
