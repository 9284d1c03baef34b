use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::{AppRef, NewMessage};
use utoipa::ToSchema;

use super::create::json;
use super::publish::{Answer, Echo, Wish, idempotency_key};
use super::{MessageIn, MessageOut};
use crate::AppState;
use crate::extract::{AppName, PublishBody, parse_json};
use crate::problem::{Problem, ProblemDocument, Result};

/// Messages in one request.
const MAX_MESSAGES: usize = 1_000;

/// Up to 1,000 messages.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "describes what is read below without copying payloads")]
pub struct MessageBatchIn {
    messages: Vec<MessageIn>,
}

/// One answer for each message, in order.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "describes what is written below")]
pub struct MessageBatchOut {
    data: Vec<MessageBatchAnswer>,
}

/// Either `message`, or `problem`.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "describes what is written below")]
pub struct MessageBatchAnswer {
    /// 202, or the status that the message alone would have been answered with.
    status: u16,
    message: Option<MessageOut>,
    problem: Option<ProblemDocument>,
}

#[derive(Deserialize)]
struct Wishes<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Answers<'a> {
    data: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Answer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemDocument>,
}

/// Publish up to 1,000 messages
///
/// Each message is accepted or refused by itself; all that are accepted are durable when the
/// answer comes.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/msg/batch", operation_id = "v1.message.create-batch",
    tag = "Message",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = MessageBatchIn,
    responses(
        (status = 202, body = MessageBatchOut),
        (status = 400, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create_batch(
    State(state): State<AppState>,
    AppName(app): AppName,
    headers: HeaderMap,
    PublishBody(body): PublishBody,
) -> Result<Response> {
    let wishes: Wishes<'_> = parse_json(&body)?;
    if wishes.messages.is_empty() || wishes.messages.len() > MAX_MESSAGES {
        return Err(Problem::field("messages", format!("must have 1 to {MAX_MESSAGES} entries")));
    }
    let more = u64::try_from(wishes.messages.len()).unwrap_or(0).saturating_sub(1);
    if more > 0 {
        state.access.guards.messages(&app, more).await?;
    }
    let key = idempotency_key(&headers)?;
    let app = AppRef::new(app);
    let read: Vec<Result<NewMessage>> = wishes
        .messages
        .iter()
        .enumerate()
        .map(|(at, wish)| {
            let wish: Wish<'_> = parse_json(wish.get().as_bytes())?;
            let mut message = wish.message(&state, app.clone(), &body)?;
            message.idempotency_key = key.as_ref().map(|key| format!("{key}#{at}"));
            Ok(message)
        })
        .collect();
    let echoes: Vec<Option<Echo>> =
        read.iter().map(|message| Some(Echo::of(message.as_ref().ok()?, true))).collect();
    let good = read.iter().filter_map(|message| message.as_ref().ok().cloned()).collect();
    let mut published = state.store.ingest_batch(good).await?.into_iter();
    let answers = read.into_iter().zip(&echoes).map(|(message, echo)| {
        let outcome = message.and_then(|_| {
            published.next().unwrap_or(Err(store::PublishError::Overloaded)).map_err(Problem::from)
        });
        match (outcome, echo) {
            (Ok(published), Some(echo)) => One {
                status: StatusCode::ACCEPTED.as_u16(),
                message: Some(echo.answer(&published)),
                problem: None,
            },
            (Ok(_), None) => refused(Problem::new(crate::problem::Code::Internal, "Lost.")),
            (Err(problem), _) => refused(problem),
        }
    });
    json(StatusCode::ACCEPTED, &Answers { data: answers.collect() })
}

fn refused<'a>(problem: Problem) -> One<'a> {
    let status = problem.code().status().as_u16();
    One { status, message: None, problem: Some(problem.document()) }
}
