use axum::Json;
use axum::extract::State;
use model::AppId;
use model::name::{self, BadName};
use serde::{Deserialize, Serialize};
use store::{Order, PageQuery, Store};
use utoipa::ToSchema;

use crate::AppState;
use crate::extract::{Body, InApp};
use crate::page::MAX_LIMIT;
use crate::problem::{Problem, ProblemDocument, Result};

/// What a message would be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagePrecheckIn {
    #[schema(example = "contact.created")]
    event_type: String,
    #[serde(default)]
    channels: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MessagePrecheckOut {
    /// At least one enabled endpoint would get it.
    active: bool,
}

/// Ask whether any endpoint would get a message
///
/// To be asked before work is put into a payload that nobody wants.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/msg/precheck/active", operation_id = "v1.message.precheck",
    tag = "Message",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = MessagePrecheckIn,
    responses(
        (status = 200, body = MessagePrecheckOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn precheck(
    State(state): State<AppState>,
    InApp(app): InApp,
    Body(wish): Body<MessagePrecheckIn>,
) -> Result<Json<MessagePrecheckOut>> {
    let bad = |field: &str, error: BadName| Problem::field(field, error);
    name::check_name(&wish.event_type, name::MAX_NAME_LEN).map_err(|e| bad("eventType", e))?;
    if let Some(channels) = &wish.channels {
        name::check_channels(channels, name::MAX_MESSAGE_CHANNELS)
            .map_err(|e| bad("channels", e))?;
    }
    let channels = wish.channels.unwrap_or_default();
    let active = is_wanted(&state.store, app.id, &wish.event_type, &channels).await?;
    Ok(Json(MessagePrecheckOut { active }))
}

async fn is_wanted(
    store: &Store,
    app: AppId,
    event_type: &str,
    channels: &[String],
) -> Result<bool> {
    let mut query = PageQuery { limit: MAX_LIMIT, iterator: None, order: Order::Ascending };
    loop {
        let page = store.endpoints_in_app(app, &query).await?;
        let wanted = page.data.iter().any(|endpoint| {
            endpoint.disabled.is_none() && endpoint.filter.wants(event_type, channels)
        });
        if wanted || page.done {
            return Ok(wanted);
        }
        query.iterator = page.iterator;
    }
}
