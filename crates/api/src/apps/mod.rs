//! Applications: one per tenant of the product.

pub mod breaker;
pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod patch;
pub mod put;

use std::collections::BTreeMap;

use model::access::Permission;
use model::app::App;
use model::{AppId, name};
use serde::{Deserialize, Serialize};
use store::operations::OPERATIONS_UID;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::problem::{Problem, Result};
use crate::wire::Moment;

/// An application to be made, or what it shall be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationIn {
    #[schema(example = "Open House, workspace 7")]
    pub name: String,
    /// Your own name for it, usable wherever its id is.
    #[serde(default)]
    pub uid: Option<String>,
    /// Deliveries per second at the most.
    #[serde(default)]
    pub throttle_rate: Option<u32>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationOut {
    pub id: String,
    pub uid: Option<String>,
    pub name: String,
    pub throttle_rate: Option<u32>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Moment,
    pub updated_at: Moment,
}

impl From<App> for ApplicationOut {
    fn from(app: App) -> Self {
        Self {
            id: app.id.to_string(),
            uid: app.uid,
            name: app.name,
            throttle_rate: app.throttle_rate,
            metadata: app.metadata,
            created_at: Moment(app.created_at),
            updated_at: Moment(app.updated_at),
        }
    }
}

impl ApplicationIn {
    /// Puts the wished values into an app.
    fn apply(self, app: &mut App) -> Result<()> {
        app.name = self.name;
        app.uid = self.uid;
        app.throttle_rate = self.throttle_rate;
        app.metadata = self.metadata;
        check(app)
    }
}

fn check(app: &App) -> Result<()> {
    if app.name.trim().is_empty() {
        return Err(Problem::field("name", "must not be empty"));
    }
    name::check_text(&app.name).map_err(|error| Problem::field("name", error))?;
    if let Some(uid) = &app.uid {
        name::check_uid(uid, AppId::PREFIX).map_err(|error| Problem::field("uid", error))?;
    }
    if app.throttle_rate == Some(0) {
        return Err(Problem::field("throttleRate", "must be at least 1, or null for no limit"));
    }
    name::check_metadata(&app.metadata).map_err(|error| Problem::field("metadata", error))
}

/// The app of operational events hears of every tenant: none of them may become it.
fn may_be_named(caller: &Caller, before: Option<&str>, app: &App) -> Result<()> {
    let is_given = app.uid.as_deref() == Some(OPERATIONS_UID) && before != Some(OPERATIONS_UID);
    if is_given { caller.need_on_instance(Permission::AppsWrite) } else { Ok(()) }
}

fn uid_taken() -> Problem {
    Problem::new(crate::problem::Code::Conflict, "Another application has this uid.")
}
