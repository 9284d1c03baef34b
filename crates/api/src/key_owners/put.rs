use axum::Json;
use axum::extract::State;
use keys::OwnerFields;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{KeyOwnerOut, OwnerName};
use crate::AppState;
use crate::extract::Body;
use crate::keys::service;
use crate::keys::shapes::{LimitShape, limits_in, yes};
use crate::problem::{ProblemDocument, Result};

/// What holds for all keys of an owner.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyOwnerIn {
    /// False: no key of the owner is good.
    #[serde(default = "yes")]
    enabled: bool,
    /// Limits that its keys share, where their subject is `owner`.
    #[serde(default)]
    limits: Vec<LimitShape>,
}

/// Say what holds for all keys of an owner
#[utoipa::path(
    put, path = "/api/v1/app/{app}/keyspace/{keyspace}/owner/{owner}",
    operation_id = "v1.key_owner.update", tag = "Key owner",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("keyspace" = String, Path, description = "The keyspace's id or uid"),
        ("owner" = String, Path, description = "The owner, in your own words"),
    ),
    request_body = KeyOwnerIn,
    responses(
        (status = 200, body = KeyOwnerOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    owner: OwnerName,
    Body(wish): Body<KeyOwnerIn>,
) -> Result<Json<KeyOwnerOut>> {
    service::check_owner(&owner.caller, &owner.keyspace, owner.app)?;
    let fields = OwnerFields { enabled: wish.enabled, limits: limits_in(wish.limits) };
    let owner = state.keys.put_owner(owner.at(), fields, &owner.caller.actor()).await?;
    Ok(Json(owner.into()))
}
