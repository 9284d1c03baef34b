use axum::Json;
use axum::extract::State;
use serde::Serialize;
use store::Link;
use utoipa::ToSchema;

use super::{DeliveryOut, InDelivery};
use crate::AppState;
use crate::problem::{ProblemDocument, Result};
use crate::replays::ActorOut;

/// Everything that was made of one delivery, and what it was made of itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChainOut {
    root_id: String,
    /// The delivery that was asked for.
    delivery_id: String,
    /// Oldest first: a parent comes before its children.
    links: Vec<ChainLinkOut>,
    /// There are more than 1000 links; these are the oldest.
    truncated: bool,
}

/// A delivery of a chain, with who made it and why.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChainLinkOut {
    #[serde(flatten)]
    delivery: DeliveryOut,
    /// `resend`, `recover`, `missing` or `bulk`; none for what was published.
    replay_kind: Option<&'static str>,
    by: Option<ActorOut>,
    reason: Option<String>,
}

impl From<Link> for ChainLinkOut {
    fn from(link: Link) -> Self {
        Self {
            delivery: link.delivery.into(),
            replay_kind: link.kind.map(model::replay::Kind::as_str),
            by: link.by.map(ActorOut::from),
            reason: link.reason,
        }
    }
}

/// Get the chain of a delivery
///
/// The delivery that was published and every replay that came of it, in order: in which state,
/// after how many attempts, by whom and why.
#[utoipa::path(
    get, path = "/api/v1/app/{app}/delivery/{delivery}/chain",
    operation_id = "v1.delivery.get-chain", tag = "Delivery",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("delivery" = String, Path, description = "The delivery's id"),
    ),
    responses((status = 200, body = ChainOut), (status = 404, body = ProblemDocument)),
)]
pub async fn chain(
    State(state): State<AppState>,
    InDelivery(app, row): InDelivery,
) -> Result<Json<ChainOut>> {
    let id = row.delivery.id;
    let root = row.delivery.root_id.unwrap_or(id);
    let chain = state.store.chain_in_app(app.id, root).await?;
    Ok(Json(ChainOut {
        root_id: root.to_string(),
        delivery_id: id.to_string(),
        links: chain.links.into_iter().map(ChainLinkOut::from).collect(),
        truncated: chain.is_cut,
    }))
}
