//! Deliveries: one message on its way to one endpoint.

pub mod cancel;
pub mod chain;
pub mod explain;
pub(crate) mod explanation;
pub mod get;
pub mod list;
mod pages;

pub(crate) use pages::page_of;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::Timestamp;
use model::app::App;
use model::delivery::State;
use model::endpoint::Endpoint;
use serde::{Deserialize, Serialize};
use store::DeliveryRow;
use utoipa::ToSchema;

use crate::AppState;
use crate::extract::{InApp, path};
use crate::problem::{Problem, Result};
use crate::status::{Status, next_attempt};
use crate::wire::Moment;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryOut {
    pub id: String,
    pub msg_id: String,
    pub endpoint_id: String,
    /// None when the message was deleted.
    pub event_type: Option<String>,
    /// `queued`, `leased`, `succeeded`, `failed` or `canceled`.
    pub state: &'static str,
    pub status: Status,
    pub status_text: &'static str,
    /// 0 by a published message, 1 by hand: a resend or a replay.
    pub trigger_type: i16,
    /// How many were made.
    pub attempts: u32,
    /// While it is queued: when it may be tried.
    pub due_at: Option<Moment>,
    /// While it is leased: when the lease ends.
    pub lease_until: Option<Moment>,
    /// Of the last answer that came.
    pub last_status_code: Option<u16>,
    /// Why the last attempt failed, if it did.
    pub last_error_kind: Option<&'static str>,
    /// The delivery that this one replays, and the first of that chain.
    pub parent_id: Option<String>,
    pub root_id: Option<String>,
    /// Steps from the root; 0 for what was published.
    pub depth: u32,
    /// The replay that made it.
    pub replay_id: Option<String>,
    /// Its message was made of this one, for this endpoint alone.
    pub replay_of: Option<String>,
    /// With another payload.
    pub changed: bool,
    pub created_at: Moment,
    pub settled_at: Option<Moment>,
}

impl From<DeliveryRow> for DeliveryOut {
    fn from(row: DeliveryRow) -> Self {
        let delivery = row.delivery;
        let status = Status::of(&delivery);
        Self {
            id: delivery.id.to_string(),
            msg_id: delivery.id.message_id().to_string(),
            endpoint_id: delivery.endpoint_id.to_string(),
            event_type: row.event_type,
            state: delivery.state.as_str(),
            status,
            status_text: status.text(),
            trigger_type: delivery.trigger.code(),
            attempts: delivery.attempts,
            due_at: next_attempt(&delivery).map(Moment),
            lease_until: delivery.lease_until.map(Moment),
            last_status_code: row.last_status,
            last_error_kind: row.last_error.map(|kind| kind.as_str()),
            parent_id: delivery.parent_id.map(|id| id.to_string()),
            root_id: delivery.root_id.map(|id| id.to_string()),
            depth: delivery.depth,
            replay_id: delivery.replay_id.map(|id| id.to_string()),
            replay_of: row.replay_of.map(|id| id.to_string()),
            changed: row.changed,
            created_at: Moment(delivery.created_at),
            settled_at: delivery.settled_at.map(Moment),
        }
    }
}

/// What of an endpoint decides whether its deliveries move.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStateOut {
    pub id: String,
    pub url: String,
    pub disabled_at: Option<Moment>,
    /// `by_hand`, or `gone` when the receiver answered 410.
    pub disabled_reason: Option<&'static str>,
    pub paused_at: Option<Moment>,
    /// Nothing is started before: its rate is used up, or its receiver asked for a pause.
    pub hold_until: Option<Moment>,
}

impl EndpointStateOut {
    pub fn new(endpoint: &Endpoint, hold_until: Option<Timestamp>) -> Self {
        // Disabled and paused endpoints are held for good.
        let hold_until = hold_until.filter(|_| !endpoint.is_held());
        let disabled = endpoint.disabled.as_ref();
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url.clone(),
            disabled_at: disabled.map(|disabled| Moment(disabled.at)),
            disabled_reason: disabled.map(|disabled| disabled.reason.as_str()),
            paused_at: endpoint.paused_at.map(Moment),
            hold_until: hold_until.map(Moment),
        }
    }
}

/// A delivery's state by its name, in a query.
#[derive(Clone, Copy, Debug)]
pub struct StateIn(pub State);

impl<'de> Deserialize<'de> for StateIn {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let found = State::ALL.into_iter().find(|state| state.as_str() == text);
        found.map(Self).ok_or_else(|| {
            serde::de::Error::custom("state is queued, leased, succeeded, failed or canceled")
        })
    }
}

#[derive(Debug, Deserialize)]
struct DeliveryPath {
    delivery: String,
}

/// The delivery that the path names, inside the app that the path names.
#[derive(Debug)]
pub struct InDelivery(pub App, pub DeliveryRow);

impl FromRequestParts<AppState> for InDelivery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let DeliveryPath { delivery } = path(parts, state).await?;
        let id = delivery.parse().map_err(|_| Problem::not_found("delivery"))?;
        let row = state.store.delivery_in_app(app.id, id).await?;
        row.map(|row| Self(app, row)).ok_or_else(|| Problem::not_found("delivery"))
    }
}
