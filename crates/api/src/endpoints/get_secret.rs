use axum::Json;
use axum::extract::State;

use super::secret::EndpointSecretOut;
use crate::AppState;
use crate::extract::InEndpoint;
use crate::problem::{Problem, ProblemDocument, Result};

/// Get the secret that an endpoint's deliveries are signed with
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint/{endpoint}/secret",
    operation_id = "v1.endpoint.get-secret", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, body = EndpointSecretOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get_secret(
    State(state): State<AppState>,
    InEndpoint(_app, endpoint): InEndpoint,
) -> Result<Json<EndpointSecretOut>> {
    let secret = state.store.current_secret(endpoint.id).await?;
    let secret = secret.ok_or_else(|| Problem::not_found("secret"))?;
    Ok(Json(EndpointSecretOut::from(&secret)))
}
