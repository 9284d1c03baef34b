//! Extractors shared by all endpoints: JSON bodies, query parameters, and the app or endpoint
//! that a path names. Their refusals are problems.

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use model::app::App;
use model::endpoint::Endpoint;
use model::message::Message;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use store::AppRef;

use crate::AppState;
use crate::access::Caller;
use crate::problem::{Code, Problem, Result};
use crate::query::one_form;

/// Bodies of everything but publishing.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// What a request to publish may hold besides its payload.
const ENVELOPE_BYTES: usize = 64 * 1024;

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &AppState) -> Result<Self> {
        let bytes = read_body(request, MAX_BODY_BYTES).await?;
        parse_json(&bytes).map(Self)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<AppState> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &AppState) -> Result<Self> {
        let bytes = read_body(request, MAX_BODY_BYTES).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse_json(&bytes).map(Self)
    }
}

/// A body that publishes: exactly its bytes, up to the largest payload with its envelope.
#[derive(Debug)]
pub struct PublishBody(pub Bytes);

impl FromRequest<AppState> for PublishBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self> {
        // A payload that is escaped into a string, as raw ones are, can be six times as long.
        let limit = state.options.max_payload_bytes.saturating_mul(6);
        read_body(request, limit.saturating_add(ENVELOPE_BYTES)).await.map(Self)
    }
}

/// Reads a whole body, up to a limit.
pub(crate) async fn read_body(request: Request, limit: usize) -> Result<Bytes> {
    let too_large =
        || Problem::new(Code::PayloadTooLarge, format!("The body may have at most {limit} bytes."));
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => {
            Err(too_large())
        }
        Err(_) => Err(Problem::new(Code::InvalidRequest, "The body ended before it was complete.")),
    }
}

/// 400 for what is no JSON, 422 for JSON of another shape.
pub(crate) fn parse_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            return Problem::new(Code::Validation, "").with_field(&["body"], error, "type_error");
        }
        Problem::new(Code::InvalidJson, format!("The body is not valid JSON: {error}."))
    })
}

/// Query parameters; unknown ones are tolerated. Several extractors may read the same query.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self> {
        let wrong = |why: &dyn std::fmt::Display| {
            Problem::new(Code::Validation, "").with_field(&["query"], why, "type_error")
        };
        let query = one_form(parts.uri.query().unwrap_or_default());
        if query.contains("%00") {
            return Err(wrong(&"no value may hold a NUL"));
        }
        let uri = format!("/?{query}").parse().map_err(|error| wrong(&error))?;
        let query = axum::extract::Query::try_from_uri(&uri);
        query.map(|query| Self(query.0)).map_err(|error| wrong(&error.body_text()))
    }
}

/// The parameters of the path, by name.
#[derive(Debug, Deserialize)]
struct AppPath {
    app: String,
}

#[derive(Debug, Deserialize)]
struct EndpointPath {
    endpoint: String,
}

#[derive(Debug, Deserialize)]
struct MessagePath {
    msg: String,
}

/// Parameters of the path by their names. No name has a NUL, and no database would take one.
pub(crate) async fn path<T: DeserializeOwned + Send>(
    parts: &mut Parts,
    state: &AppState,
) -> Result<T> {
    if parts.uri.path().contains("%00") {
        return Err(Problem::new(Code::InvalidRequest, "The path holds a NUL."));
    }
    let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
    match path {
        Ok(Path(path)) => Ok(path),
        Err(_) => Err(Problem::new(Code::InvalidRequest, "The path is not understood.")),
    }
}

/// What the path calls the app, not looked up: publishing leaves that to the store. Where the
/// caller had to be admitted to one app, it is that app's id. Asks for a caller first.
#[derive(Debug)]
pub struct AppName(pub String);

impl FromRequestParts<AppState> for AppName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let AppPath { app } = path(parts, state).await?;
        Ok(Self(caller.app().map_or(app, |id| id.to_string())))
    }
}

/// The app's name as the path has it, whatever it was looked up for.
#[derive(Debug)]
pub struct AppText(pub String);

impl FromRequestParts<AppState> for AppText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let AppPath { app } = path(parts, state).await?;
        Ok(Self(app))
    }
}

/// The app that the path names, by id or uid. Asks for a caller first.
#[derive(Debug)]
pub struct InApp(pub App);

impl FromRequestParts<AppState> for InApp {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let AppName(app) = AppName::from_request_parts(parts, state).await?;
        let found = state.store.app(&AppRef::new(app)).await?;
        found.map(Self).ok_or_else(|| Problem::not_found("application"))
    }
}

/// The endpoint that the path names, inside the app that the path names.
#[derive(Debug)]
pub struct InEndpoint(pub App, pub Endpoint);

impl FromRequestParts<AppState> for InEndpoint {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let EndpointPath { endpoint } = path(parts, state).await?;
        let found = state.store.endpoint_in_app(app.id, &endpoint).await?;
        let endpoint = found.ok_or_else(|| Problem::not_found("endpoint"))?;
        Ok(Self(app, endpoint))
    }
}

/// The message that the path names by its id or its event id, inside the app that the path names.
#[derive(Debug)]
pub struct InMessage(pub App, pub Message);

impl FromRequestParts<AppState> for InMessage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let MessagePath { msg } = path(parts, state).await?;
        let found = state.store.message_in_app(app.id, &msg).await?;
        let message = found.ok_or_else(|| Problem::not_found("message"))?;
        Ok(Self(app, message))
    }
}
