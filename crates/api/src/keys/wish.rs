//! What somebody may say of a new key.

use std::collections::BTreeMap;

use keys::NewKey;
use model::AppId;
use model::key::allow::AllowList;
use serde::Deserialize;
use utoipa::ToSchema;

use super::service::Handed;
use super::shapes::{LimitShape, RotationShape, limits_in, yes};
use crate::wire::Moment;

/// A key to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyIn {
    /// Id or uid.
    pub keyspace: String,
    #[schema(example = "CRM import")]
    pub name: String,
    /// Who uses it, in your own words; owners share limits and can be disabled.
    #[serde(default)]
    pub owner: Option<String>,
    /// The keyspace's first, if not given.
    #[serde(default)]
    pub environment: Option<String>,
    /// Wildcards are allowed: `docs.*`, `read:*`, `*`.
    #[serde(default)]
    #[schema(example = json!(["read:contacts"]))]
    pub scopes: Vec<String>,
    /// Roles of the keyspace.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Addresses and networks (CIDR) that may use it; empty: all.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["192.0.2.0/24"]))]
    pub ip_allow: AllowList,
    /// Its own, in the place of the keyspace's of the same name.
    #[serde(default)]
    pub limits: Vec<LimitShape>,
    #[serde(default)]
    pub expires_at: Option<Moment>,
    /// Expired when not used for so long.
    #[serde(default)]
    pub idle_expiry_ms: Option<u64>,
    #[serde(default)]
    pub rotation: Option<RotationShape>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl KeyIn {
    pub(super) fn handed(&self, app: AppId) -> Handed<'_> {
        let (keyspace, scopes, roles) = (&self.keyspace, &self.scopes, &self.roles);
        Handed { app, keyspace, scopes, roles }
    }

    pub(super) fn in_app(self, app: AppId) -> NewKey {
        NewKey {
            keyspace: self.keyspace,
            app: Some(app),
            name: self.name,
            owner: self.owner,
            environment: self.environment,
            scopes: self.scopes,
            roles: self.roles,
            ip_allow: self.ip_allow,
            limits: limits_in(self.limits),
            expires_at: self.expires_at.map(|moment| moment.0),
            idle_expiry_ms: self.idle_expiry_ms,
            rotation: self.rotation.map(Into::into),
            metadata: self.metadata,
            tags: self.tags,
            disabled: !self.enabled,
        }
    }
}
