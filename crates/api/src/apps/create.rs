use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::AppId;
use model::app::App;
use serde::Deserialize;
use store::AppRef;
use utoipa::IntoParams;

use super::{ApplicationIn, ApplicationOut, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, Query};
use crate::problem::{ProblemDocument, Result};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CreateQuery {
    /// Answer with the application that has this uid, if there is one.
    #[serde(default)]
    get_if_exists: bool,
}

/// Create an application
#[utoipa::path(
    post, path = "/api/v1/app", operation_id = "v1.application.create", tag = "Application",
    params(CreateQuery), request_body = ApplicationIn,
    responses(
        (status = 201, body = ApplicationOut),
        (status = 200, body = ApplicationOut, description = "It existed, and get_if_exists was set"),
        (status = 409, body = ProblemDocument, description = "The uid is taken"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<CreateQuery>,
    Body(wish): Body<ApplicationIn>,
) -> Result<(StatusCode, Json<ApplicationOut>)> {
    let uid = wish.uid.clone();
    let app = new_app(&state, wish)?;
    if state.store.insert_app(&app, &caller.actor()).await? {
        return Ok((StatusCode::CREATED, Json(app.into())));
    }
    let existing = match uid {
        Some(uid) if query.get_if_exists => state.store.app(&AppRef::new(uid)).await?,
        _ => None,
    };
    existing.map(|app| (StatusCode::OK, Json(app.into()))).ok_or_else(uid_taken)
}

/// An app as wished, not stored yet.
pub(crate) fn new_app(state: &AppState, wish: ApplicationIn) -> Result<App> {
    let mut app = blank(state);
    wish.apply(&mut app)?;
    Ok(app)
}

/// An app with a uid and a name, not stored yet.
pub(crate) fn named(state: &AppState, uid: &str, name: &str) -> App {
    App { uid: Some(uid.to_owned()), name: name.to_owned(), ..blank(state) }
}

fn blank(state: &AppState) -> App {
    let now = state.store.clock().now();
    App {
        id: AppId::new(now, state.store.entropy()),
        uid: None,
        name: String::new(),
        throttle_rate: None,
        metadata: std::collections::BTreeMap::new(),
        created_at: now,
        updated_at: now,
    }
}
