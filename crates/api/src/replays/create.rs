use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::EndpointId;
use model::app::App;
use model::attempt::ErrorKind;
use model::replay::{Kind, MAX_ENDPOINTS, MAX_RATE, MessageIdWish, Options, Selection};
use serde::{Deserialize, Serialize};
use store::{Candidate, NewReplay, Preview};
use utoipa::ToSchema;

use super::{ReplayOut, wish};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::problem::{Problem, ProblemDocument, Result};
use crate::query::StatusCodeClass;
use crate::status::Status;
use crate::wire::Moment;

/// Which deliveries to make again, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayIn {
    /// Published at this moment or later.
    since: Moment,
    /// Published before this moment; now if left out.
    until: Option<Moment>,
    /// Only to these endpoints, by id or uid; to all if left out.
    #[serde(default)]
    endpoint_ids: Vec<String>,
    /// Only these event types; `contact.*` stands for all that begin so.
    #[serde(default)]
    event_types: Vec<String>,
    /// Only deliveries that ended so: 0 success, 2 fail, 4 canceled.
    #[schema(value_type = Option<Status>)]
    status: Option<u8>,
    /// Only deliveries whose last answer was of this class: 100, 200, 300, 400 or 500.
    #[schema(value_type = Option<u16>)]
    status_code_class: Option<StatusCodeClass>,
    /// Only deliveries whose last attempt failed so, for instance `timeout`.
    #[schema(value_type = Option<String>)]
    error_kind: Option<ErrorKind>,
    /// Only messages with this channel.
    channel: Option<String>,
    /// Only messages with this tag.
    tag: Option<String>,
    /// Only where the payload, or a response to the delivery, holds this text.
    text: Option<String>,
    /// Only count, and show some.
    #[serde(default)]
    dry_run: bool,
    /// Deliveries made in a second at the most; without it, as fast as receivers take them.
    rate_per_second: Option<u32>,
    /// `keep` sends the id that the message has, `renew` makes a message of its own of each.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "keep")]
    message_id: MessageIdWish,
    /// Why, for whoever reads the chain later.
    reason: Option<String>,
}

/// What a replay would make.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayPreviewOut {
    count: u64,
    /// Counting stopped there: it is at least that many.
    capped: bool,
    /// The first of them.
    sample: Vec<CandidateOut>,
}

/// Something that would be delivered again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateOut {
    msg_id: String,
    endpoint_id: String,
    /// The delivery that would be replayed.
    delivery_id: Option<String>,
    event_type: String,
    /// `queued`, `leased`, `succeeded`, `failed` or `canceled`.
    state: Option<&'static str>,
    last_status_code: Option<u16>,
    last_error_kind: Option<&'static str>,
    created_at: Moment,
}

impl From<Candidate> for CandidateOut {
    fn from(candidate: Candidate) -> Self {
        Self {
            msg_id: candidate.message_id.to_string(),
            endpoint_id: candidate.endpoint_id.to_string(),
            delivery_id: candidate.parent.map(|parent| parent.id.to_string()),
            event_type: candidate.event_type,
            state: candidate.state.map(model::delivery::State::as_str),
            last_status_code: candidate.last_status,
            last_error_kind: candidate.last_error.map(ErrorKind::as_str),
            created_at: Moment(candidate.created_at),
        }
    }
}

impl From<Preview> for ReplayPreviewOut {
    fn from(preview: Preview) -> Self {
        Self {
            count: preview.selected.count,
            capped: preview.selected.capped,
            sample: preview.sample.into_iter().map(CandidateOut::from).collect(),
        }
    }
}

/// Deliver again everything that matches
///
/// Each message once to each endpoint, however often it was tried. It runs as a background task
/// beside fresh traffic, which it leaves ahead, and goes on after a restart where it was.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/replay", operation_id = "v1.replay.create", tag = "Replay",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = ReplayIn,
    responses(
        (status = 200, body = ReplayPreviewOut, description = "What it would make: `dryRun`"),
        (status = 202, body = ReplayOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    Body(wish): Body<ReplayIn>,
) -> Result<Response> {
    let endpoints = endpoints(&state, &app, &wish.endpoint_ids).await?;
    let dry_run = wish.dry_run;
    let mut replay = wish.at(&app, endpoints, &state)?;
    let preview = state.store.preview_replay(Kind::Bulk, &replay.selection).await?;
    if dry_run {
        return Ok(Json(ReplayPreviewOut::from(preview)).into_response());
    }
    replay.selected = Some(preview.selected);
    let (replay, _) = wish::start(&state.store, replay, &caller.actor()).await?;
    Ok((StatusCode::ACCEPTED, Json(ReplayOut::new(replay, None))).into_response())
}

async fn endpoints(state: &AppState, app: &App, names: &[String]) -> Result<Vec<EndpointId>> {
    if names.len() > MAX_ENDPOINTS {
        let why = format!("must have at most {MAX_ENDPOINTS} entries");
        return Err(Problem::field("endpointIds", why));
    }
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let endpoint = state.store.endpoint_in_app(app.id, name).await?;
        found.push(endpoint.ok_or_else(|| Problem::not_found("endpoint"))?.id);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

impl ReplayIn {
    fn at(self, app: &App, endpoints: Vec<EndpointId>, state: &AppState) -> Result<NewReplay> {
        let (since, until) = wish::span(self.since, self.until, state.store.clock().now())?;
        if self.rate_per_second.is_some_and(|rate| rate == 0 || rate > MAX_RATE) {
            return Err(Problem::field("ratePerSecond", format!("must be 1 to {MAX_RATE}")));
        }
        wish::check_text("text", self.text.as_deref())?;
        wish::check_text("reason", self.reason.as_deref())?;
        let selection = Selection {
            endpoints,
            event_types: self.event_types,
            channel: self.channel,
            tag: self.tag,
            state: self.status.map(wish::ended_as).transpose()?,
            status_code_class: self.status_code_class.map(|class| class.0),
            error: self.error_kind,
            text: self.text,
            ..Selection::new(app.id, since, until)
        };
        wish::check_names(&selection)?;
        let options = Options { rate_per_s: self.rate_per_second, message_id: self.message_id };
        Ok(NewReplay { options, reason: self.reason, ..NewReplay::new(Kind::Bulk, selection) })
    }
}
