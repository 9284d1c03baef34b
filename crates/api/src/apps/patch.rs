use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ApplicationOut, check, may_be_named, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::patch::{self, Field};
use crate::problem::{ProblemDocument, Result};

/// What shall change; an absent field stays, `null` clears it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationPatch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    uid: Field<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<u32>)]
    throttle_rate: Field<u32>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

/// Change parts of an application
#[utoipa::path(
    patch, path = "/api/v1/app/{app}", operation_id = "v1.application.patch", tag = "Application",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = ApplicationPatch,
    responses(
        (status = 200, body = ApplicationOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn patch(
    State(state): State<AppState>,
    caller: Caller,
    InApp(mut app): InApp,
    Body(wish): Body<ApplicationPatch>,
) -> Result<Json<ApplicationOut>> {
    let uid_before = app.uid.clone();
    app.name = wish.name.unwrap_or(app.name);
    app.uid = wish.uid.unwrap_or(app.uid);
    app.throttle_rate = wish.throttle_rate.unwrap_or(app.throttle_rate);
    app.metadata = wish.metadata.unwrap_or(app.metadata);
    app.updated_at = state.store.clock().now();
    check(&app)?;
    may_be_named(&caller, uid_before.as_deref(), &app)?;
    if state.store.update_app(&app, &caller.actor()).await? {
        Ok(Json(app.into()))
    } else {
        Err(uid_taken())
    }
}
