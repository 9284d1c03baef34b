use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use model::audit::Entry;
use store::{AuditQuery, Order, PageQuery, Store, StoreError};

use super::{AuditEntryOut, AuditFilter};
use crate::AppState;
use crate::access::Caller;
use crate::extract::Query;
use crate::page::MAX_LIMIT;
use crate::problem::{ProblemDocument, Result};

/// Pages that wait for a slow reader.
const MAX_WAITING: usize = 1;

/// Export changes, oldest first
///
/// One JSON document a line. An export that ends early breaks the connection off: one that ends
/// in an orderly way is complete.
#[utoipa::path(
    get, path = "/api/v1/audit-log/export", operation_id = "v1.audit-log.export",
    tag = "Audit log", params(AuditFilter),
    responses(
        (status = 200, content_type = "application/x-ndjson", body = AuditEntryOut),
        (status = 404, body = ProblemDocument, description = "There is no such application"),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn export(
    State(state): State<AppState>,
    caller: Caller,
    Query(filter): Query<AuditFilter>,
) -> Result<Response> {
    let page = PageQuery { limit: MAX_LIMIT, iterator: None, order: Order::Ascending };
    let query = filter.query(&caller, page)?;
    let (sender, body) = Channel::<Bytes, StoreError>::new(MAX_WAITING);
    tokio::spawn(send(state.store.clone(), query, sender));
    let ndjson = (header::CONTENT_TYPE, "application/x-ndjson");
    Ok(([ndjson], Body::new(body)).into_response())
}

/// Sends page after page, until the log ends or nobody reads any more.
async fn send(store: Store, mut query: AuditQuery, mut sender: Sender<Bytes, StoreError>) {
    loop {
        let page = match store.audit_log(&query).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "an export of the audit log ended early");
                return sender.abort(error);
            }
        };
        if sender.send_data(lines(page.data)).await.is_err() || page.done {
            return;
        }
        query.page.iterator = page.iterator;
    }
}

fn lines(entries: Vec<Entry>) -> Bytes {
    let mut text = String::new();
    for entry in entries {
        // An entry is texts, numbers and JSON: it is always writable.
        text += &serde_json::to_string(&AuditEntryOut::from(entry)).unwrap_or_default();
        text.push('\n');
    }
    text.into()
}
