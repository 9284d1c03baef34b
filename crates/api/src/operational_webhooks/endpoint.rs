use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::endpoint::Endpoint;
use store::{Order, Page};

use super::{Name, app, app_or_new, found};
use crate::AppState;
use crate::access::Caller;
use crate::endpoints::put::EndpointName;
use crate::endpoints::wish::{EndpointIn, EndpointPatch};
use crate::endpoints::{self, EndpointOut};
use crate::extract::{Body, InApp, Query};
use crate::page::{ListOut, PageIn, cut};
use crate::problem::{ProblemDocument, Result};

/// List the endpoints that hear of operational events
#[utoipa::path(
    get, path = "/api/v1/operational-webhook/endpoint",
    operation_id = "v1.operational-webhook.endpoint.list", tag = "Operational webhook",
    params(PageIn),
    responses((status = 200, body = ListOut<EndpointOut>), (status = 422, body = ProblemDocument)),
)]
pub async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<EndpointOut>>> {
    if let Some(app) = app(&state).await? {
        return endpoints::list::list(State(state), InApp(app), Query(page)).await;
    }
    let none: Page<Endpoint> =
        cut(Vec::new(), &page.query(Order::Descending), |endpoint: &Endpoint| {
            endpoint.id.to_string()
        });
    Ok(Json(ListOut::new(none, EndpointOut::from)))
}

/// Create an endpoint that hears of operational events
#[utoipa::path(
    post, path = "/api/v1/operational-webhook/endpoint",
    operation_id = "v1.operational-webhook.endpoint.create", tag = "Operational webhook",
    request_body = EndpointIn,
    responses(
        (status = 201, body = EndpointOut),
        (status = 409, body = ProblemDocument, description = "The uid is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(wish): Body<EndpointIn>,
) -> Result<(StatusCode, Json<EndpointOut>)> {
    let app = app_or_new(&state, &caller).await?;
    endpoints::create::create(State(state), caller, InApp(app), Body(wish)).await
}

/// Get an endpoint that hears of operational events
#[utoipa::path(
    get, path = "/api/v1/operational-webhook/endpoint/{endpoint}",
    operation_id = "v1.operational-webhook.endpoint.get", tag = "Operational webhook",
    params(("endpoint" = String, Path, description = "The endpoint's id or uid")),
    responses((status = 200, body = EndpointOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(State(state): State<AppState>, Name(endpoint): Name) -> Result<Json<EndpointOut>> {
    let found = found(&state, &endpoint).await?;
    endpoints::get::get(State(state), found).await
}

/// Update an endpoint that hears of operational events, or create it under the uid in the path
#[utoipa::path(
    put, path = "/api/v1/operational-webhook/endpoint/{endpoint}",
    operation_id = "v1.operational-webhook.endpoint.update", tag = "Operational webhook",
    params(("endpoint" = String, Path, description = "The endpoint's id or uid")),
    request_body = EndpointIn,
    responses(
        (status = 200, body = EndpointOut),
        (status = 201, body = EndpointOut, description = "It was created"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "The uid is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    caller: Caller,
    Name(endpoint): Name,
    Body(wish): Body<EndpointIn>,
) -> Result<(StatusCode, Json<EndpointOut>)> {
    let name = EndpointName(app_or_new(&state, &caller).await?, endpoint);
    endpoints::put::put(State(state), caller, name, Body(wish)).await
}

/// Change parts of an endpoint that hears of operational events
#[utoipa::path(
    patch, path = "/api/v1/operational-webhook/endpoint/{endpoint}",
    operation_id = "v1.operational-webhook.endpoint.patch", tag = "Operational webhook",
    params(("endpoint" = String, Path, description = "The endpoint's id or uid")),
    request_body = EndpointPatch,
    responses(
        (status = 200, body = EndpointOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "The uid is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch(
    State(state): State<AppState>,
    caller: Caller,
    Name(endpoint): Name,
    Body(wish): Body<EndpointPatch>,
) -> Result<Json<EndpointOut>> {
    let found = found(&state, &endpoint).await?;
    endpoints::patch::patch(State(state), caller, found, Body(wish)).await
}

/// Delete an endpoint that hears of operational events
#[utoipa::path(
    delete, path = "/api/v1/operational-webhook/endpoint/{endpoint}",
    operation_id = "v1.operational-webhook.endpoint.delete", tag = "Operational webhook",
    params(("endpoint" = String, Path, description = "The endpoint's id or uid")),
    responses((status = 204), (status = 404, body = ProblemDocument)),
)]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Name(endpoint): Name,
) -> Result<StatusCode> {
    let found = found(&state, &endpoint).await?;
    endpoints::delete::delete(State(state), caller, found).await
}
