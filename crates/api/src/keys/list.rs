use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use store::{KeyQuery, KeyState, Order};
use utoipa::{IntoParams, ToSchema};

use super::KeyWithUse;
use crate::AppState;
use crate::extract::{InApp, Query};
use crate::page::{ListOut, PageIn};
use crate::problem::{Problem, ProblemDocument, Result};

/// Which keys; all that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KeyFilter {
    /// Id or uid of a keyspace.
    #[serde(default)]
    keyspace: Option<String>,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    state: Option<KeyStateIn>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyState)]
pub enum KeyStateIn {
    Active,
    Disabled,
    Revoked,
    Expired,
}

/// List keys, newest first
#[utoipa::path(
    get, path = "/api/v1/app/{app}/key", operation_id = "v1.key.list", tag = "Key",
    params(("app" = String, Path, description = "The application's id or uid"), KeyFilter, PageIn),
    responses(
        (status = 200, body = ListOut<KeyWithUse>),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    InApp(app): InApp,
    Query(filter): Query<KeyFilter>,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<KeyWithUse>>> {
    let keyspace = match &filter.keyspace {
        None => None,
        Some(name) => {
            let found = state.store.keyspace(name).await?;
            Some(found.ok_or_else(|| Problem::not_found("keyspace"))?.value.id)
        }
    };
    let query = KeyQuery {
        page: page.query(Order::Descending),
        app: Some(app.id),
        keyspace,
        owner: filter.owner,
        tag: filter.tag,
        state: filter.state.map(Into::into),
        ..KeyQuery::default()
    };
    Ok(Json(ListOut::new(state.store.keys(&query).await?, KeyWithUse::from)))
}

impl From<KeyStateIn> for KeyState {
    fn from(state: KeyStateIn) -> Self {
        match state {
            KeyStateIn::Active => Self::Active,
            KeyStateIn::Disabled => Self::Disabled,
            KeyStateIn::Revoked => Self::Revoked,
            KeyStateIn::Expired => Self::Expired,
        }
    }
}
