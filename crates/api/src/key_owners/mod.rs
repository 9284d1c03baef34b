//! Owners of keys: limits that several keys share, and one switch for all of them.

pub mod get;
pub mod put;

use ::keys::OwnerAt;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::AppId;
use model::key::{KeyOwner, Keyspace};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AppState;
use crate::access::Caller;
use crate::extract::{InApp, path};
use crate::keys::shapes::{LimitShape, limits_out};
use crate::keyspaces::InKeyspace;
use crate::problem::{Problem, Result};

/// An owner, or what is true of one that was never written down.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyOwnerOut {
    pub keyspace_id: String,
    pub app_id: Option<String>,
    pub name: String,
    pub enabled: bool,
    pub limits: Vec<LimitShape>,
}

impl From<KeyOwner> for KeyOwnerOut {
    fn from(owner: KeyOwner) -> Self {
        Self {
            keyspace_id: owner.keyspace_id.to_string(),
            app_id: owner.app_id.map(|id| id.to_string()),
            name: owner.name,
            enabled: owner.enabled,
            limits: limits_out(owner.limits),
        }
    }
}

#[derive(Debug, Deserialize)]
struct OwnerPath {
    owner: String,
}

/// The owner that the path names inside an app and a keyspace; whether there is one is not
/// looked up.
#[derive(Debug)]
pub struct OwnerName {
    pub caller: Caller,
    pub app: AppId,
    pub keyspace: Keyspace,
    pub name: String,
}

impl OwnerName {
    #[must_use]
    pub fn at(&self) -> OwnerAt {
        OwnerAt { keyspace: self.keyspace.id, app: Some(self.app), name: self.name.clone() }
    }
}

impl FromRequestParts<AppState> for OwnerName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let InKeyspace(keyspace) = InKeyspace::from_request_parts(parts, state).await?;
        let OwnerPath { owner } = path(parts, state).await?;
        Ok(Self { caller, app: app.id, keyspace, name: owner })
    }
}
