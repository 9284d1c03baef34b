//! API keys: made and kept by an app, shown by its users, checked by the product.

pub mod bulk;
pub mod collect;
pub mod create;
pub mod delete;
pub mod disable;
pub mod enable;
pub mod end_grace;
pub mod get;
pub mod import;
pub mod introspect;
pub mod list;
pub mod list_secrets;
pub mod patch;
pub mod revocation;
pub mod revoke;
pub mod revoke_self;
pub mod rotate;
pub(crate) mod service;
pub mod shapes;
pub mod usage;
pub mod verdict;
pub mod verify;
pub mod verify_batch;
pub mod wish;

use std::collections::BTreeMap;

use ::keys::KeyAt;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::app::App;
use model::key::allow::AllowList;
use model::key::{Key, RevocationReason};
use serde::{Deserialize, Serialize};
use store::{KeyRow, LastUse};
use utoipa::ToSchema;

use self::service::Handed;
use self::shapes::{LimitShape, RotationShape, limits_out};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{InApp, path};
use crate::problem::{Problem, Result};
use crate::wire::Moment;

/// A key as it is kept: without its token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyOut {
    pub id: String,
    pub keyspace_id: String,
    pub app_id: Option<String>,
    pub name: String,
    pub owner: Option<String>,
    pub environment: String,
    pub scopes: Vec<String>,
    pub roles: Vec<String>,
    #[schema(value_type = Vec<String>)]
    pub ip_allow: AllowList,
    pub limits: Vec<LimitShape>,
    pub expires_at: Option<Moment>,
    pub idle_expiry_ms: Option<u64>,
    pub rotation: Option<RotationShape>,
    pub metadata: BTreeMap<String, String>,
    pub tags: Vec<String>,
    pub enabled: bool,
    pub revoked: Option<RevocationOut>,
    pub created_at: Moment,
    pub updated_at: Moment,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyRevocation)]
pub struct RevocationOut {
    pub at: Moment,
    #[schema(value_type = String, example = "key_compromise")]
    pub reason: RevocationReason,
    pub note: Option<String>,
}

/// A key with its last use, which may be some seconds old.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyWithUse {
    #[serde(flatten)]
    pub key: KeyOut,
    pub last_use: Option<LastUseOut>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyLastUse)]
pub struct LastUseOut {
    pub at: Moment,
    #[schema(value_type = Option<String>)]
    pub address: Option<std::net::IpAddr>,
    pub user_agent: Option<String>,
}

/// A key with its token, which is shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyWithToken {
    #[serde(flatten)]
    pub key: KeyOut,
    /// Keep it now: nobody can show it again.
    #[schema(example = "oh_live_…")]
    pub token: String,
    /// What people recognise the token by.
    pub start: String,
}

impl From<Key> for KeyOut {
    fn from(key: Key) -> Self {
        Self {
            id: key.id.to_string(),
            keyspace_id: key.keyspace_id.to_string(),
            app_id: key.app_id.map(|id| id.to_string()),
            name: key.name,
            owner: key.owner,
            environment: key.environment,
            scopes: key.scopes,
            roles: key.roles,
            ip_allow: key.ip_allow,
            limits: limits_out(key.limits),
            expires_at: key.expires_at.map(Moment),
            idle_expiry_ms: key.idle_expiry_ms,
            rotation: key.rotation.map(Into::into),
            metadata: key.metadata,
            tags: key.tags,
            enabled: key.enabled,
            revoked: key.revoked.map(|revoked| RevocationOut {
                at: Moment(revoked.at),
                reason: revoked.reason,
                note: revoked.note,
            }),
            created_at: Moment(key.created_at),
            updated_at: Moment(key.updated_at),
        }
    }
}

impl From<LastUse> for LastUseOut {
    fn from(last: LastUse) -> Self {
        Self { at: Moment(last.at), address: last.address, user_agent: last.user_agent }
    }
}

impl From<KeyRow> for KeyWithUse {
    fn from(row: KeyRow) -> Self {
        Self { key: row.key.value.into(), last_use: row.last_use.map(Into::into) }
    }
}

impl From<::keys::Minted> for KeyWithToken {
    fn from(minted: ::keys::Minted) -> Self {
        Self { key: minted.key.into(), token: minted.token, start: minted.secret.start }
    }
}

/// What the path calls a key inside the app that it names: the key is not looked up. Asks for a
/// caller first.
#[derive(Debug)]
pub struct KeyName {
    pub caller: Caller,
    pub app: App,
    pub key: String,
}

#[derive(Debug, Deserialize)]
struct KeyPath {
    key: String,
}

impl FromRequestParts<AppState> for KeyName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let KeyPath { key } = path(parts, state).await?;
        Ok(Self { caller, app, key })
    }
}

impl KeyName {
    #[must_use]
    pub fn at(&self) -> KeyAt<'_> {
        KeyAt { app: Some(self.app.id), id: &self.key }
    }

    /// The key, if the caller may hand it out.
    async fn mine_to_hand_out(&self, state: &AppState) -> Result<Key> {
        let found = state.store.key_in_app(Some(self.app.id), &self.key).await?;
        let key = found.ok_or_else(|| Problem::not_found("key"))?.key.value;
        service::check(state, &self.caller, Handed::of(self.app.id, &key)).await?;
        Ok(key)
    }
}

/// The key that the path names, inside the app that the path names.
#[derive(Debug)]
pub struct InKey(pub KeyRow);

impl FromRequestParts<AppState> for InKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let name = KeyName::from_request_parts(parts, state).await?;
        let found = state.store.key_in_app(Some(name.app.id), &name.key).await?;
        found.map(Self).ok_or_else(|| Problem::not_found("key"))
    }
}
