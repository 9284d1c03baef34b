use axum::Json;
use axum::extract::State;
use store::Order;

use super::{AuditEntryOut, AuditFilter};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Query;
use crate::page::{ListOut, PageIn};
use crate::problem::{ProblemDocument, Result};

/// List changes, newest first
#[utoipa::path(
    get, path = "/api/v1/audit-log", operation_id = "v1.audit-log.list", tag = "Audit log",
    params(AuditFilter, PageIn),
    responses(
        (status = 200, body = ListOut<AuditEntryOut>),
        (status = 404, body = ProblemDocument, description = "There is no such application"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(filter): Query<AuditFilter>,
    Query(page): Query<PageIn>,
) -> Result<Json<ListOut<AuditEntryOut>>> {
    let query = filter.query(&caller, page.query(Order::Descending))?;
    let entries = state.store.audit_log(&query).await?;
    Ok(Json(ListOut::new(entries, AuditEntryOut::from)))
}
