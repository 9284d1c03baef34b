use axum::Json;
use axum::extract::State;
use store::Order;

use super::{AttemptFilterIn, AttemptOut, nothing};
use crate::AppState;
use crate::extract::{InEndpoint, Query};
use crate::page::{ListOut, PageIn};
use crate::problem::{ProblemDocument, Result};
use crate::query::MessageFilterIn;

/// List the attempts at an endpoint, newest first
#[utoipa::path(
    get, path = "/api/v1/app/{app}/attempt/endpoint/{endpoint}",
    operation_id = "v1.message-attempt.list-by-endpoint", tag = "Message attempt",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        PageIn, MessageFilterIn, AttemptFilterIn,
    ),
    responses(
        (status = 200, body = ListOut<AttemptOut>),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn list_by_endpoint(
    State(state): State<AppState>,
    InEndpoint(app, endpoint): InEndpoint,
    Query(page): Query<PageIn>,
    Query(filter): Query<MessageFilterIn>,
    Query(own): Query<AttemptFilterIn>,
) -> Result<Json<ListOut<AttemptOut>>> {
    let page = match own.query(page.query(Order::Descending), filter.into()) {
        Some(query) => state.store.attempts_of_endpoint(app.id, endpoint.id, &query).await?,
        None => nothing(),
    };
    own.list(&state.store, app.id, page).await.map(Json)
}
