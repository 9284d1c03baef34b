use axum::Json;
use axum::extract::State;
use store::{MessageQuery, Order};

use super::{ContentQuery, MessageOut};
use crate::AppState;
use crate::extract::{InApp, Query};
use crate::page::{ListOut, PageIn};
use crate::problem::{ProblemDocument, Result};
use crate::query::MessageFilterIn;

/// List messages, newest first
#[utoipa::path(
    get, path = "/api/v1/app/{app}/msg", operation_id = "v1.message.list", tag = "Message",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        PageIn, MessageFilterIn, ContentQuery,
    ),
    responses(
        (status = 200, body = ListOut<MessageOut>),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    InApp(app): InApp,
    Query(page): Query<PageIn>,
    Query(filter): Query<MessageFilterIn>,
    Query(content): Query<ContentQuery>,
) -> Result<Json<ListOut<MessageOut>>> {
    let query = MessageQuery {
        page: page.query(Order::Descending),
        filter: filter.into(),
        with_content: content.with_content,
    };
    let messages = state.store.messages_in_app(app.id, &query).await?;
    Ok(Json(ListOut::new(messages, MessageOut::from)))
}
