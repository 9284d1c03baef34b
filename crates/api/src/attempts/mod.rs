//! Attempts: each HTTP try of a delivery, and how messages stand at endpoints after them.

pub mod delete_content;
pub mod get;
pub mod list_attempted_destinations;
pub mod list_attempted_messages;
pub mod list_by_endpoint;
pub mod list_by_message;
mod out;

pub use out::{AttemptOut, TimingOut};

use std::collections::HashMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::app::App;
use model::attempt::Attempt;
use model::message::Message;
use model::{AppId, MessageId};
use serde::Deserialize;
use store::{AttemptQuery, MessageFilter, Page, PageQuery, Store};
use utoipa::IntoParams;

use crate::AppState;
use crate::extract::{InMessage, path};
use crate::messages::{MessageOut, yes};
use crate::page::ListOut;
use crate::problem::{Problem, Result};
use crate::query::StatusCodeClass;
use crate::status::Status;

/// What lists of attempts can be narrowed by besides their messages.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AttemptFilterIn {
    /// 0 success, 1 pending, 2 fail, 3 sending, 4 canceled; or these words. An attempt is a
    /// success or a fail.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub status: Option<Status>,
    /// 100, 200, 300, 400 or 500.
    #[serde(default)]
    #[param(value_type = Option<u16>)]
    pub status_code_class: Option<StatusCodeClass>,
    /// Whether responses and payloads come along.
    #[serde(default = "yes")]
    #[param(default = true)]
    pub with_content: bool,
    /// Whether each attempt comes with its message.
    #[serde(default)]
    pub with_msg: bool,
    /// Whether what was canceled is shown as such; as failed otherwise.
    #[serde(default)]
    pub expanded_statuses: bool,
}

impl AttemptFilterIn {
    /// The query for the store; none when no attempt can be meant.
    fn query(self, page: PageQuery, filter: MessageFilter) -> Option<AttemptQuery> {
        let succeeded = match self.status {
            None => None,
            Some(Status::Success) => Some(true),
            Some(Status::Fail) => Some(false),
            Some(Status::Pending | Status::Sending | Status::Canceled) => return None,
        };
        let status_code_class = self.status_code_class.map(|class| class.0);
        Some(AttemptQuery { page, filter, succeeded, status_code_class, endpoint: None })
    }

    async fn list(
        self,
        store: &Store,
        app: AppId,
        page: Page<Attempt>,
    ) -> Result<ListOut<AttemptOut>> {
        let wanted = page.data.iter().filter(|_| self.with_msg);
        let ids: Vec<MessageId> = wanted.map(|attempt| attempt.id.message_id()).collect();
        let messages = messages_by_id(store, app, ids, self.with_content).await?;
        Ok(ListOut::new(page, |attempt| {
            let message = messages.get(&attempt.id.message_id()).cloned();
            AttemptOut::new(attempt, message.map(MessageOut::from), self.with_content)
        }))
    }
}

/// The messages with these ids, each read once.
async fn messages_by_id(
    store: &Store,
    app: AppId,
    ids: Vec<MessageId>,
    with_content: bool,
) -> Result<HashMap<MessageId, Message>> {
    let mut messages = HashMap::new();
    for id in ids {
        if messages.contains_key(&id) {
            continue;
        }
        if let Some(mut message) = store.message_in_app(app, id.as_str()).await? {
            message.payload = message.payload.filter(|_| with_content);
            messages.insert(id, message);
        }
    }
    Ok(messages)
}

const fn nothing<T>() -> Page<T> {
    Page { data: Vec::new(), done: true, iterator: None, prev_iterator: None }
}

#[derive(Debug, Deserialize)]
struct AttemptPath {
    attempt: String,
}

/// The attempt that the path names, of the message that the path names.
#[derive(Debug)]
pub struct InAttempt(pub App, pub Attempt);

impl FromRequestParts<AppState> for InAttempt {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let InMessage(app, message) = InMessage::from_request_parts(parts, state).await?;
        let AttemptPath { attempt } = path(parts, state).await?;
        let not_found = || Problem::not_found("attempt");
        let id: model::AttemptId = attempt.parse().map_err(|_| not_found())?;
        if id.message_id() != message.id {
            return Err(not_found());
        }
        let attempt = state.store.attempt_in_app(app.id, id).await?.ok_or_else(not_found)?;
        Ok(Self(app, attempt))
    }
}
