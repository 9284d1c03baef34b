use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::audit::Actor;
use model::endpoint::Endpoint;
use model::filter::Filter;
use model::signature::Secret;
use model::{AppId, EndpointId};

use super::secret::check_body_signature;
use super::wish::{EndpointIn, EndpointPatch};
use super::{EndpointOut, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::problem::{ProblemDocument, Result};

/// Create an endpoint
///
/// Its URL must be one that may be called: private addresses are refused.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/endpoint", operation_id = "v1.endpoint.create",
    tag = "Endpoint",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = EndpointIn,
    responses(
        (status = 201, body = EndpointOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "The uid is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    Body(wish): Body<EndpointIn>,
) -> Result<(StatusCode, Json<EndpointOut>)> {
    let endpoint = insert(&state, app.id, wish, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(endpoint.into())))
}

/// Makes an endpoint as wished, with a secret of its own.
pub(super) async fn insert(
    state: &AppState,
    app: AppId,
    wish: EndpointIn,
    by: &Actor,
) -> Result<Endpoint> {
    let secret = match &wish.secret {
        Some(secret) => secret.read("secret")?,
        None => Secret::generate_hmac(state.store.entropy()),
    };
    let endpoint = EndpointPatch::from(wish).apply(blank(state, app), state)?;
    check_body_signature(state, &endpoint, Some(&secret)).await?;
    let inserted = state.store.insert_endpoint(&endpoint, &secret, by).await?;
    if inserted { Ok(endpoint) } else { Err(uid_taken()) }
}

/// What a wish is applied to when there is nothing yet.
fn blank(state: &AppState, app: AppId) -> Endpoint {
    let now = state.store.clock().now();
    Endpoint {
        id: EndpointId::new(now, state.store.entropy()),
        app_id: app,
        uid: None,
        url: String::new(),
        description: String::new(),
        filter: Filter::default(),
        throttle_rate: None,
        max_in_flight: None,
        metadata: BTreeMap::new(),
        headers: BTreeMap::new(),
        disabled: None,
        paused_at: None,
        retry_schedule: None,
        body_signature: None,
        created_at: now,
        updated_at: now,
    }
}
