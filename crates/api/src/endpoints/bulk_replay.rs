use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::replay::Kind;

use super::selection::{EndpointReplayIn, StartedTaskOut};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InEndpoint};
use crate::problem::{ProblemDocument, Result};

/// Deliver again everything that matches
///
/// Also what succeeded before, unless `status` says otherwise.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/bulk-replay",
    operation_id = "v1.endpoint.bulk-replay", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = EndpointReplayIn,
    responses(
        (status = 202, body = StartedTaskOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn bulk_replay(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(app, endpoint): InEndpoint,
    Body(wish): Body<EndpointReplayIn>,
) -> Result<(StatusCode, Json<StartedTaskOut>)> {
    wish.start(Kind::Bulk, &app, &endpoint, &state, &caller).await
}
