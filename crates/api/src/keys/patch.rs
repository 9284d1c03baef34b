use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use model::key::Key;
use model::key::allow::AllowList;
use serde::Deserialize;
use utoipa::ToSchema;

use super::service::{self, Handed};
use super::shapes::{LimitShape, RotationShape, limits_in};
use super::{KeyName, KeyOut};
use crate::AppState;
use crate::extract::Body;
use crate::patch::{self, Field};
use crate::problem::{ProblemDocument, Result};
use crate::wire::Moment;

/// What shall change; an absent field stays, `null` clears it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyPatch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    owner: Field<String>,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    ip_allow: Option<AllowList>,
    #[serde(default)]
    limits: Option<Vec<LimitShape>>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Moment>)]
    expires_at: Field<Moment>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<u64>)]
    idle_expiry_ms: Field<u64>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<RotationShape>)]
    rotation: Field<RotationShape>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    enabled: Option<bool>,
}

/// Change parts of a key
#[utoipa::path(
    patch, path = "/api/v1/app/{app}/key/{key}", operation_id = "v1.key.patch", tag = "Key",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("key" = String, Path, description = "The key's id"),
    ),
    request_body = KeyPatch,
    responses(
        (status = 200, body = KeyOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch(
    State(state): State<AppState>,
    name: KeyName,
    Body(wish): Body<KeyPatch>,
) -> Result<Json<KeyOut>> {
    let mut wished = name.mine_to_hand_out(&state).await?;
    wish.apply(&mut wished);
    service::check(&state, &name.caller, Handed::of(name.app.id, &wished)).await?;
    let change = |key: &mut Key| wish.apply(key);
    let key = state.keys.update_key(name.at(), change, &name.caller.actor()).await?;
    Ok(Json(key.into()))
}

impl KeyPatch {
    /// May be called again on a newer state of the key.
    fn apply(&self, key: &mut Key) {
        let moment = |wish: Option<Moment>| wish.map(|moment| moment.0);
        patch::set(&mut key.name, &self.name);
        patch::set(&mut key.owner, &self.owner);
        patch::set(&mut key.scopes, &self.scopes);
        patch::set(&mut key.roles, &self.roles);
        patch::set(&mut key.ip_allow, &self.ip_allow);
        patch::set(&mut key.limits, &self.limits.clone().map(limits_in));
        patch::set(&mut key.expires_at, &self.expires_at.map(moment));
        patch::set(&mut key.idle_expiry_ms, &self.idle_expiry_ms);
        patch::set(&mut key.rotation, &self.rotation.map(|wish| wish.map(Into::into)));
        patch::set(&mut key.metadata, &self.metadata);
        patch::set(&mut key.tags, &self.tags);
        patch::set(&mut key.enabled, &self.enabled);
    }
}
