use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use model::EndpointId;
use model::app::App;
use serde::Deserialize;

use super::create::insert;
use super::wish::{EndpointIn, EndpointPatch};
use super::{EndpointOut, secret, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp, path};
use crate::problem::{Problem, ProblemDocument, Result};

#[derive(Debug, Deserialize)]
struct NamePath {
    endpoint: String,
}

/// What the path calls the endpoint, not looked up, inside the app that it names.
#[derive(Debug)]
pub struct EndpointName(pub App, pub String);

impl FromRequestParts<AppState> for EndpointName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let NamePath { endpoint } = path(parts, state).await?;
        Ok(Self(app, endpoint))
    }
}

/// Update an endpoint, or create it under the uid in the path
///
/// Every field gets the value given or its default; only secret and headers stay if left out.
#[utoipa::path(
    put, path = "/api/v1/app/{app}/endpoint/{endpoint}", operation_id = "v1.endpoint.update",
    tag = "Endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = EndpointIn,
    responses(
        (status = 200, body = EndpointOut),
        (status = 201, body = EndpointOut, description = "It was created"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "The uid is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    caller: Caller,
    EndpointName(app, name): EndpointName,
    Body(mut wish): Body<EndpointIn>,
) -> Result<(StatusCode, Json<EndpointOut>)> {
    let found = state.store.endpoint_in_app(app.id, &name).await?;
    let is_id = name.starts_with(EndpointId::PREFIX);
    if !is_id {
        // The path names the uid, so that the same request means the same again.
        wish.uid.get_or_insert(name);
    }
    let Some(endpoint) = found else {
        if is_id {
            return Err(Problem::not_found("endpoint"));
        }
        let endpoint = insert(&state, app.id, wish, &caller.actor()).await?;
        return Ok((StatusCode::CREATED, Json(endpoint.into())));
    };
    let key = wish.secret.as_ref().map(|secret| secret.read("secret")).transpose()?;
    let wished = EndpointPatch::from(wish).apply(endpoint.clone(), &state)?;
    secret::check_body_signature(&state, &wished, key.as_ref()).await?;
    let saved = state.store.edit_endpoint(&endpoint, &wished, &caller.actor()).await?;
    let endpoint = saved.ok_or_else(uid_taken)?;
    if let Some(key) = key {
        secret::replace(&state, &endpoint, &key, 0, &caller.actor()).await?;
    }
    Ok((StatusCode::OK, Json(endpoint.into())))
}
