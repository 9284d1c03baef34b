use axum::Json;
use axum::extract::State;
use store::Order;

use super::MemberOut;
use crate::AppState;
use crate::extract::{InApp, Query};
use crate::page::{ListOut, PageIn};
use crate::problem::{ProblemDocument, Result};

/// List the members of an application
#[utoipa::path(
    get, path = "/api/v1/app/{app}/member", operation_id = "v1.member.list", tag = "Member",
    params(("app" = String, Path, description = "The application's id or uid"), PageIn),
    responses(
        (status = 200, body = ListOut<MemberOut>),
        (status = 404, body = ProblemDocument),
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    InApp(app): InApp,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<MemberOut>>> {
    let members = state.store.members_in_app(app.id, &page.query(Order::Ascending)).await?;
    Ok(Json(ListOut::new(members, MemberOut::from)))
}
