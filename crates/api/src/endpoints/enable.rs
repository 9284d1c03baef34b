use axum::Json;
use axum::extract::State;
use model::Timestamp;
use model::endpoint::Endpoint;
use model::replay::{Kind, Options, Selection};
use serde::{Deserialize, Serialize};
use store::NewReplay;
use utoipa::ToSchema;

use super::selection::StartedTaskOut;
use super::{EndpointOut, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{InEndpoint, OptionalBody};
use crate::problem::{Code, Problem, ProblemDocument, Result};
use crate::replays::wish;
use crate::wire::Moment;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnableIn {
    /// Whether what was published while it was disabled is delivered, too.
    #[serde(default)]
    catch_up: bool,
    /// Catch up from this moment on; since it was disabled if left out.
    since: Option<Moment>,
}

/// An endpoint that is enabled.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnabledOut {
    #[serde(flatten)]
    endpoint: EndpointOut,
    /// The task that catches up.
    catch_up: Option<StartedTaskOut>,
}

/// Enable an endpoint
///
/// What it has queued drains. To deliver what was published while it was disabled as well, ask to
/// catch up: a background task does it at the rate that a backlog is drained at. To ask again,
/// once it is enabled, name the moment to begin at; nothing is delivered twice.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint/{endpoint}/enable",
    operation_id = "v1.endpoint.enable", tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = Option<EnableIn>,
    responses(
        (status = 200, body = EnabledOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn enable(
    State(state): State<AppState>,
    caller: Caller,
    InEndpoint(_app, endpoint): InEndpoint,
    OptionalBody(wish): OptionalBody<EnableIn>,
) -> Result<Json<EnabledOut>> {
    let now = state.store.clock().now();
    let span = wish.span(&endpoint, now)?;
    let doing = async move {
        let mut enabled = endpoint.clone();
        if enabled.disabled.take().is_some() {
            enabled.updated_at = now;
            let saved = state.store.edit_endpoint(&endpoint, &enabled, &caller.actor()).await?;
            enabled = saved.ok_or_else(uid_taken)?;
        }
        let catch_up = match span {
            Some(span) => Some(catch_up(&state, &caller, &enabled, span).await?),
            None => None,
        };
        Ok(Json(EnabledOut { endpoint: enabled.into(), catch_up }))
    };
    // A caller that goes away in between does not leave it enabled and not caught up.
    tokio::spawn(doing).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an endpoint may be enabled and not caught up");
        Err(Problem::new(Code::Internal, "It ended early."))
    })
}

impl EnableIn {
    /// What is to be caught up with.
    fn span(&self, endpoint: &Endpoint, now: Timestamp) -> Result<Option<(Timestamp, Timestamp)>> {
        if !self.catch_up {
            return Ok(None);
        }
        let disabled_at = endpoint.disabled.as_ref().map(|disabled| Moment(disabled.at));
        let Some(since) = self.since.or(disabled_at) else {
            let why = "is needed to catch up: the endpoint is not disabled";
            return Err(Problem::field("since", why));
        };
        wish::span(since, None, now).map(Some)
    }
}

async fn catch_up(
    state: &AppState,
    caller: &Caller,
    endpoint: &Endpoint,
    (since, until): (Timestamp, Timestamp),
) -> Result<StartedTaskOut> {
    let thresholds = state.store.endpoint_thresholds(endpoint.app_id, endpoint.id).await?;
    let rates = [Some(thresholds.in_effect.drain_rate), endpoint.throttle_rate];
    let options = Options { rate_per_s: rates.into_iter().flatten().min(), ..Options::default() };
    let selection = Selection::new(endpoint.app_id, since, until).at(endpoint.id);
    let reason = Some("to catch up after it was disabled".to_owned());
    let replay = NewReplay { options, reason, ..NewReplay::new(Kind::Missing, selection) };
    let (_, task) = wish::start(&state.store, replay, &caller.actor()).await?;
    Ok(task.into())
}
