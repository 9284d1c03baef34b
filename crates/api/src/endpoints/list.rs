use axum::Json;
use axum::extract::State;
use store::Order;

use super::EndpointOut;
use crate::AppState;
use crate::extract::{InApp, Query};
use crate::page::{ListOut, PageIn};
use crate::problem::{ProblemDocument, Result};

/// List an application's endpoints, newest first
#[utoipa::path(
    get, path = "/api/v1/app/{app}/endpoint", operation_id = "v1.endpoint.list", tag = "Endpoint",
    params(("app" = String, Path, description = "The application's id or uid"), PageIn),
    responses(
        (status = 200, body = ListOut<EndpointOut>),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    InApp(app): InApp,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<EndpointOut>>> {
    let endpoints = state.store.endpoints_in_app(app.id, &page.query(Order::Descending)).await?;
    Ok(Json(ListOut::new(endpoints, EndpointOut::from)))
}
