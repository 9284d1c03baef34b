use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use store::Order;
use utoipa::IntoParams;

use super::{AttemptFilterIn, AttemptOut, nothing};
use crate::AppState;
use crate::extract::{InMessage, Query};
use crate::page::{ListOut, PageIn};
use crate::problem::{Problem, ProblemDocument, Result};
use crate::query::MessageFilterIn;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ByMessageQuery {
    /// Only at the endpoint with this id or uid.
    #[serde(default)]
    endpoint_id: Option<String>,
}

/// List the attempts to deliver a message, newest first
#[utoipa::path(
    get, path = "/api/v1/app/{app}/attempt/msg/{msg}",
    operation_id = "v1.message-attempt.list-by-msg", tag = "Message attempt",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or eventId"),
        ByMessageQuery, PageIn, MessageFilterIn, AttemptFilterIn,
    ),
    responses(
        (status = 200, body = ListOut<AttemptOut>),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn list_by_message(
    State(state): State<AppState>,
    InMessage(app, message): InMessage,
    Query(ByMessageQuery { endpoint_id }): Query<ByMessageQuery>,
    Query(page): Query<PageIn>,
    Query(filter): Query<MessageFilterIn>,
    Query(own): Query<AttemptFilterIn>,
) -> Result<Json<ListOut<AttemptOut>>> {
    let endpoint = match endpoint_id {
        Some(endpoint) => {
            let found = state.store.endpoint_in_app(app.id, &endpoint).await?;
            Some(found.ok_or_else(|| Problem::not_found("endpoint"))?.id)
        }
        None => None,
    };
    let page = match own.query(page.query(Order::Descending), filter.into()) {
        Some(mut query) => {
            query.endpoint = endpoint;
            state.store.attempts_of_message(app.id, message.id, &query).await?
        }
        None => nothing(),
    };
    own.list(&state.store, app.id, page).await.map(Json)
}
