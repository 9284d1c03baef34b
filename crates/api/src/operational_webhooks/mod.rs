//! Operational webhooks: the endpoints of the app that operational events are published into.
//!
//! They are ordinary endpoints of the app with the uid `operations`, and everything else about
//! them, their deliveries for instance, is found there. These routes are a shorter way, which
//! clients of the delivery contract know; the app is made when the first endpoint is.

pub mod endpoint;
pub mod secret;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::app::App;
use serde::Deserialize;
use store::AppRef;
use store::operations::OPERATIONS_UID;

use crate::AppState;
use crate::access::Caller;
use crate::apps::create::named;
use crate::extract::{InEndpoint, path};
use crate::problem::{Code, Problem, Result};

#[derive(Debug, Deserialize)]
struct NamePath {
    endpoint: String,
}

/// What the path calls the endpoint, not looked up.
#[derive(Debug)]
pub struct Name(String);

impl FromRequestParts<AppState> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let NamePath { endpoint } = path(parts, state).await?;
        Ok(Self(endpoint))
    }
}

async fn app(state: &AppState) -> Result<Option<App>> {
    Ok(state.store.app(&AppRef::new(OPERATIONS_UID)).await?)
}

/// The app, made if it was not there.
async fn app_or_new(state: &AppState, caller: &Caller) -> Result<App> {
    if let Some(app) = app(state).await? {
        return Ok(app);
    }
    let new = named(state, OPERATIONS_UID, "Operations");
    if state.store.insert_app(&new, &caller.actor()).await? {
        return Ok(new);
    }
    // Somebody else made it at the same moment.
    app(state).await?.ok_or_else(|| Problem::new(Code::Internal, "The app is gone again."))
}

async fn found(state: &AppState, name: &str) -> Result<InEndpoint> {
    let not_found = || Problem::not_found("endpoint");
    let app = app(state).await?.ok_or_else(not_found)?;
    let endpoint = state.store.endpoint_in_app(app.id, name).await?.ok_or_else(not_found)?;
    Ok(InEndpoint(app, endpoint))
}
