use ::keys::KeyspaceFields;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::key::Keyspace;

use super::{KeyspaceIn, KeyspaceName, KeyspaceOut, check_uid, keeps_its_uid};
use crate::AppState;
use crate::extract::Body;
use crate::problem::{ProblemDocument, Result};

/// Update a keyspace, or create it under the uid in the path
#[utoipa::path(
    put, path = "/api/v1/keyspace/{keyspace}", operation_id = "v1.keyspace.update",
    tag = "Keyspace",
    params(("keyspace" = String, Path, description = "The keyspace's id or uid")),
    request_body = KeyspaceIn,
    responses(
        (status = 200, body = KeyspaceOut),
        (status = 201, body = KeyspaceOut, description = "It was created"),
        (status = 409, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    KeyspaceName(caller, path): KeyspaceName,
    Body(mut wish): Body<KeyspaceIn>,
) -> Result<(StatusCode, Json<KeyspaceOut>)> {
    let Some(existing) = state.store.keyspace(&path).await? else {
        wish.uid.get_or_insert(path);
        check_uid(wish.uid.as_deref())?;
        let keyspace = state.keys.create_keyspace(wish.into(), &caller.actor()).await?;
        return Ok((StatusCode::CREATED, Json(keyspace.into())));
    };
    // Whoever names it by its uid means to keep that uid.
    if existing.value.uid.as_ref() == Some(&path) {
        wish.uid.get_or_insert(path);
    }
    keeps_its_uid(&existing.value, wish.uid.as_deref())?;
    let fields = KeyspaceFields::from(wish);
    let change = |keyspace: &mut Keyspace| become_as(keyspace, fields.clone());
    let id = existing.value.id;
    let keyspace = state.keys.update_keyspace(id.as_str(), change, &caller.actor()).await?;
    Ok((StatusCode::OK, Json(keyspace.into())))
}

fn become_as(keyspace: &mut Keyspace, fields: KeyspaceFields) {
    keyspace.uid = fields.uid;
    keyspace.name = fields.name;
    keyspace.prefix = fields.prefix;
    keyspace.environments = fields.environments;
    keyspace.permissions = fields.permissions;
    keyspace.roles = fields.roles;
    keyspace.limits = fields.limits;
    keyspace.ip_allow = fields.ip_allow;
    keyspace.max_lifetime_ms = fields.max_lifetime_ms;
    keyspace.idle_expiry_ms = fields.idle_expiry_ms;
    keyspace.rotation = fields.rotation;
    keyspace.when_stale = fields.when_stale;
    keyspace.metadata = fields.metadata;
}
