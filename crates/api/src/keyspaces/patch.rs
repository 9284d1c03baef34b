use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use model::key::allow::AllowList;
use model::key::{Keyspace, WhenStale};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{InKeyspace, KeyspaceOut, keeps_its_uid};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Body;
use crate::keys::shapes::{LimitShape, RotationShape, limits_in};
use crate::patch::{self, Field};
use crate::problem::{ProblemDocument, Result};

/// What shall change; an absent field stays, `null` clears it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyspacePatch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    uid: Field<String>,
    #[serde(default)]
    environments: Option<Vec<String>>,
    #[serde(default)]
    permissions: Option<BTreeMap<String, String>>,
    #[serde(default)]
    roles: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    limits: Option<Vec<LimitShape>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    ip_allow: Option<AllowList>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<u64>)]
    max_lifetime_ms: Field<u64>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<u64>)]
    idle_expiry_ms: Field<u64>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<RotationShape>)]
    rotation: Field<RotationShape>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    when_stale: Option<WhenStale>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

/// Change parts of a keyspace
#[utoipa::path(
    patch, path = "/api/v1/keyspace/{keyspace}", operation_id = "v1.keyspace.patch",
    tag = "Keyspace",
    params(("keyspace" = String, Path, description = "The keyspace's id or uid")),
    request_body = KeyspacePatch,
    responses(
        (status = 200, body = KeyspaceOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch(
    State(state): State<AppState>,
    caller: Caller,
    InKeyspace(before): InKeyspace,
    Body(wish): Body<KeyspacePatch>,
) -> Result<Json<KeyspaceOut>> {
    if let Some(uid) = &wish.uid {
        keeps_its_uid(&before, uid.as_deref())?;
    }
    let change = |keyspace: &mut Keyspace| wish.apply(keyspace);
    let keyspace = state.keys.update_keyspace(before.id.as_str(), change, &caller.actor()).await?;
    Ok(Json(keyspace.into()))
}

impl KeyspacePatch {
    /// May be called again on a newer state of the keyspace.
    fn apply(&self, keyspace: &mut Keyspace) {
        patch::set(&mut keyspace.name, &self.name);
        patch::set(&mut keyspace.uid, &self.uid);
        patch::set(&mut keyspace.environments, &self.environments);
        patch::set(&mut keyspace.permissions, &self.permissions);
        patch::set(&mut keyspace.roles, &self.roles);
        patch::set(&mut keyspace.limits, &self.limits.clone().map(limits_in));
        patch::set(&mut keyspace.ip_allow, &self.ip_allow);
        patch::set(&mut keyspace.max_lifetime_ms, &self.max_lifetime_ms);
        patch::set(&mut keyspace.idle_expiry_ms, &self.idle_expiry_ms);
        patch::set(&mut keyspace.rotation, &self.rotation.map(|wish| wish.map(Into::into)));
        patch::set(&mut keyspace.when_stale, &self.when_stale);
        patch::set(&mut keyspace.metadata, &self.metadata);
    }
}
