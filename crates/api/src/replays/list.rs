use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use store::Order;
use utoipa::IntoParams;

use super::{KindIn, ReplayOut};
use crate::AppState;
use crate::extract::{InApp, Query};
use crate::page::{ListOut, PageIn};
use crate::problem::{ProblemDocument, Result};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReplayQuery {
    /// `resend`, `recover`, `missing` or `bulk`.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    kind: Option<KindIn>,
}

/// List replays, newest first
#[utoipa::path(
    get, path = "/api/v1/app/{app}/replay", operation_id = "v1.replay.list", tag = "Replay",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ReplayQuery, PageIn,
    ),
    responses(
        (status = 200, body = ListOut<ReplayOut>),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    InApp(app): InApp,
    Query(query): Query<ReplayQuery>,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<ReplayOut>>> {
    let kind = query.kind.map(|KindIn(kind)| kind);
    let page = state.store.replays_in_app(app.id, &page.query(Order::Descending), kind).await?;
    Ok(Json(ListOut::new(page, |replay| ReplayOut::new(replay, None))))
}
