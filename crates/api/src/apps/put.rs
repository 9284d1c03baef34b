use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::access::Permission;
use store::AppRef;

use super::create::new_app;
use super::{ApplicationIn, ApplicationOut, may_be_named, uid_taken};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{AppName, AppText, Body};
use crate::problem::{ProblemDocument, Result};

/// Update an application, or create it under the uid in the path
#[utoipa::path(
    put, path = "/api/v1/app/{app}", operation_id = "v1.application.update", tag = "Application",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = ApplicationIn,
    responses(
        (status = 200, body = ApplicationOut),
        (status = 201, body = ApplicationOut, description = "It was created"),
        (status = 409, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    caller: Caller,
    AppName(name): AppName,
    AppText(path): AppText,
    Body(mut wish): Body<ApplicationIn>,
) -> Result<(StatusCode, Json<ApplicationOut>)> {
    if let Some(mut app) = state.store.app(&AppRef::new(&name)).await? {
        // Whoever names it by its uid means to keep that uid.
        if app.uid.as_ref() == Some(&path) {
            wish.uid.get_or_insert(path);
        }
        let uid_before = app.uid.clone();
        wish.apply(&mut app)?;
        may_be_named(&caller, uid_before.as_deref(), &app)?;
        app.updated_at = state.store.clock().now();
        let saved = state.store.update_app(&app, &caller.actor()).await?;
        return if saved { Ok((StatusCode::OK, Json(app.into()))) } else { Err(uid_taken()) };
    }
    caller.need_on_instance(Permission::AppsWrite)?;
    wish.uid.get_or_insert(path);
    let app = new_app(&state, wish)?;
    let created = state.store.insert_app(&app, &caller.actor()).await?;
    if created { Ok((StatusCode::CREATED, Json(app.into()))) } else { Err(uid_taken()) }
}
