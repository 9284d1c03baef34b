use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::access::Permission;
use serde::Deserialize;
use store::AppRef;
use utoipa::IntoParams;

use super::publish::{Echo, Wish, idempotency_key};
use super::{MessageIn, MessageOut};
use crate::AppState;
use crate::access::Caller;
use crate::apps::ApplicationIn;
use crate::apps::create::new_app;
use crate::extract::{AppName, PublishBody, Query, parse_json};
use crate::problem::{Code, Problem, ProblemDocument, Result};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CreateQuery {
    /// Whether the payload comes back in the answer.
    #[serde(default)]
    with_content: Option<bool>,
}

/// Publish a message
///
/// 202 means that the message and its deliveries are durable.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/msg", operation_id = "v1.message.create", tag = "Message",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("idempotency-key" = Option<String>, Header,
            description = "The same key with the same message gets the same answer, for a day"),
        CreateQuery,
    ),
    request_body = MessageIn,
    responses(
        (status = 202, body = MessageOut),
        (status = 400, body = ProblemDocument, description = "The body is not JSON"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "The eventId was used before"),
        (status = 413, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    AppName(app): AppName,
    Query(query): Query<CreateQuery>,
    headers: HeaderMap,
    PublishBody(body): PublishBody,
) -> Result<Response> {
    let mut wish: Wish<'_> = parse_json(&body)?;
    if let Some(application) = wish.application.take() {
        ensure_app(&state, &app, application, &caller).await?;
    }
    let mut message = wish.message(&state, AppRef::new(app), &body)?;
    message.idempotency_key = idempotency_key(&headers)?;
    let echo = Echo::of(&message, query.with_content.unwrap_or(true));
    let published = state.store.ingest(message).await?;
    json(StatusCode::ACCEPTED, &echo.answer(&published))
}

/// Creates the application that a message brings along, unless there is one.
async fn ensure_app(
    state: &AppState,
    path: &str,
    mut wish: ApplicationIn,
    caller: &Caller,
) -> Result<()> {
    if state.store.app(&AppRef::new(path)).await?.is_some() {
        return Ok(());
    }
    if wish.uid.as_deref().is_some_and(|uid| uid != path) {
        let why = "must be the same as in the path";
        return Err(Problem::at(&["body", "application", "uid"], why));
    }
    caller.need_on_instance(Permission::AppsWrite)?;
    wish.uid = Some(path.to_owned());
    // Somebody else may create it at the same moment; then it is there all the same.
    state.store.insert_app(&new_app(state, wish)?, &caller.actor()).await?;
    Ok(())
}

pub(super) fn json(status: StatusCode, body: &impl serde::Serialize) -> Result<Response> {
    let bytes = serde_json::to_vec(body)
        .map_err(|_| Problem::new(Code::Internal, "The answer could not be written."))?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}
