use axum::Json;

use super::{ContentQuery, MessageOut};
use crate::extract::{InMessage, Query};
use crate::problem::ProblemDocument;

/// Get a message
#[utoipa::path(
    get, path = "/api/v1/app/{app}/msg/{msg}", operation_id = "v1.message.get", tag = "Message",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or eventId"),
        ContentQuery,
    ),
    responses((status = 200, body = MessageOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(
    InMessage(_app, message): InMessage,
    Query(content): Query<ContentQuery>,
) -> Json<MessageOut> {
    let mut message = message;
    message.payload = message.payload.filter(|_| content.with_content);
    Json(message.into())
}
