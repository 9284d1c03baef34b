//! Keyspaces: the set of keys that guard one API, and what holds for all of them.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod patch;
pub mod put;

use std::collections::BTreeMap;

use ::keys::KeyspaceFields;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::key::allow::AllowList;
use model::key::{Keyspace, SERVICE_KEYSPACE, WhenStale};
use model::{KeyspaceId, name};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::extract::path;
use crate::keys::shapes::{LimitShape, RotationShape, limits_in, limits_out};
use crate::problem::{Problem, Result};
use crate::wire::Moment;

/// A keyspace to be made, or what it shall be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyspaceIn {
    #[schema(example = "Open House API")]
    pub name: String,
    /// Your own name for it, usable wherever its id is.
    #[serde(default)]
    pub uid: Option<String>,
    /// What tokens begin with: 1 to 16 of a-z and 0-9, beginning with a letter. It stays.
    #[schema(example = "oh")]
    pub prefix: String,
    /// A key is of exactly one; the first is that of keys which do not say.
    #[serde(default = "live_and_test")]
    pub environments: Vec<String>,
    /// Scopes that keys may have, with a description. Empty: any.
    #[serde(default)]
    #[schema(example = json!({"read:contacts": "See contacts"}))]
    pub permissions: BTreeMap<String, String>,
    /// Named sets of scopes.
    #[serde(default)]
    pub roles: BTreeMap<String, Vec<String>>,
    /// Limits that every key has unless it has one of the same name.
    #[serde(default)]
    pub limits: Vec<LimitShape>,
    /// Addresses and networks (CIDR) that may use keys; empty: all.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub ip_allow: AllowList,
    /// No key lives longer.
    #[serde(default)]
    pub max_lifetime_ms: Option<u64>,
    /// A key that was not used for so long is expired.
    #[serde(default)]
    pub idle_expiry_ms: Option<u64>,
    /// Secrets are renewed by themselves.
    #[serde(default)]
    pub rotation: Option<RotationShape>,
    /// What a node does that could not confirm for a second that nothing was revoked: `check`
    /// asks the database, `deny` refuses, `serve` trusts its memory for five seconds.
    #[serde(default)]
    #[schema(value_type = String, example = "check")]
    pub when_stale: WhenStale,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

fn live_and_test() -> Vec<String> {
    vec!["live".to_owned(), "test".to_owned()]
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyspaceOut {
    pub id: String,
    pub uid: Option<String>,
    pub name: String,
    pub prefix: String,
    pub environments: Vec<String>,
    pub permissions: BTreeMap<String, String>,
    pub roles: BTreeMap<String, Vec<String>>,
    pub limits: Vec<LimitShape>,
    #[schema(value_type = Vec<String>)]
    pub ip_allow: AllowList,
    pub max_lifetime_ms: Option<u64>,
    pub idle_expiry_ms: Option<u64>,
    pub rotation: Option<RotationShape>,
    #[schema(value_type = String)]
    pub when_stale: WhenStale,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Moment,
    pub updated_at: Moment,
}

impl From<Keyspace> for KeyspaceOut {
    fn from(keyspace: Keyspace) -> Self {
        Self {
            id: keyspace.id.to_string(),
            uid: keyspace.uid,
            name: keyspace.name,
            prefix: keyspace.prefix,
            environments: keyspace.environments,
            permissions: keyspace.permissions,
            roles: keyspace.roles,
            limits: limits_out(keyspace.limits),
            ip_allow: keyspace.ip_allow,
            max_lifetime_ms: keyspace.max_lifetime_ms,
            idle_expiry_ms: keyspace.idle_expiry_ms,
            rotation: keyspace.rotation.map(Into::into),
            when_stale: keyspace.when_stale,
            metadata: keyspace.metadata,
            created_at: Moment(keyspace.created_at),
            updated_at: Moment(keyspace.updated_at),
        }
    }
}

impl From<KeyspaceIn> for KeyspaceFields {
    fn from(wish: KeyspaceIn) -> Self {
        Self {
            uid: wish.uid,
            name: wish.name,
            prefix: wish.prefix,
            environments: wish.environments,
            permissions: wish.permissions,
            roles: wish.roles,
            limits: limits_in(wish.limits),
            ip_allow: wish.ip_allow,
            max_lifetime_ms: wish.max_lifetime_ms,
            idle_expiry_ms: wish.idle_expiry_ms,
            rotation: wish.rotation.map(Into::into),
            when_stale: wish.when_stale,
            metadata: wish.metadata,
        }
    }
}

/// A name that may be written into a path, and is not taken for an id.
fn check_uid(uid: Option<&str>) -> Result<()> {
    let checked = uid.map_or(Ok(()), |uid| name::check_uid(uid, KeyspaceId::PREFIX));
    checked.map_err(|error| Problem::field("uid", error))
}

/// The keyspace of Doorbell's own tokens is found by its uid.
fn keeps_its_uid(before: &Keyspace, uid: Option<&str>) -> Result<()> {
    let fixed = before.uid.as_deref() == Some(SERVICE_KEYSPACE);
    if fixed && uid != Some(SERVICE_KEYSPACE) {
        return Err(Problem::field("uid", "this keyspace keeps its uid"));
    }
    check_uid(uid)
}

/// What the path calls the keyspace, not looked up. Asks for a caller first.
#[derive(Debug)]
pub struct KeyspaceName(pub Caller, pub String);

#[derive(Debug, Deserialize)]
struct KeyspacePath {
    keyspace: String,
}

impl FromRequestParts<AppState> for KeyspaceName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let KeyspacePath { keyspace } = path(parts, state).await?;
        Ok(Self(caller, keyspace))
    }
}

/// The keyspace that the path names, by id or uid. Asks for a caller first.
#[derive(Debug)]
pub struct InKeyspace(pub Keyspace);

impl FromRequestParts<AppState> for InKeyspace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let KeyspaceName(_, name) = KeyspaceName::from_request_parts(parts, state).await?;
        let found = state.store.keyspace(&name).await?;
        let keyspace = found.ok_or_else(|| Problem::not_found("keyspace"))?;
        Ok(Self(keyspace.value))
    }
}
