use axum::Json;
use axum::extract::State;
use keys::{BulkChange, KeySelection, MAX_BULK};
use model::audit::Actor;
use model::key::{Key, RevocationReason};
use serde::{Deserialize, Serialize};
use store::{KeyQuery, Order, PageQuery};
use utoipa::ToSchema;

use super::revocation::check_note;
use super::service::{self, Handed};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::problem::{Problem, ProblemDocument, Result};

/// Keys read at once.
const PAGE: u32 = 1_000;

/// Which keys, and what becomes of them. At least an owner or a tag must be given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyBulkIn {
    /// Id or uid of a keyspace.
    #[serde(default)]
    keyspace: Option<String>,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    tag: Option<String>,
    action: BulkAction,
    /// Of a revocation.
    #[serde(default)]
    #[schema(value_type = String)]
    reason: RevocationReason,
    /// Of a revocation.
    #[serde(default)]
    note: Option<String>,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyBulkAction)]
pub enum BulkAction {
    Enable,
    Disable,
    Revoke,
    Delete,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyBulkOut {
    /// Keys that are meant.
    pub matched: usize,
    /// Keys that are different now; a key that was so before is not counted.
    pub changed: usize,
    pub dry_run: bool,
}

/// Enable, disable, revoke or delete the keys of an owner or with a tag
#[utoipa::path(
    post, path = "/api/v1/app/{app}/key/bulk", operation_id = "v1.key.bulk", tag = "Key",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = KeyBulkIn,
    responses(
        (status = 200, body = KeyBulkOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn bulk(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    Body(wish): Body<KeyBulkIn>,
) -> Result<Json<KeyBulkOut>> {
    if wish.owner.is_none() && wish.tag.is_none() {
        return Err(Problem::field("owner", "an owner or a tag must be given"));
    }
    check_note(wish.note.as_deref())?;
    let keyspace = match &wish.keyspace {
        None => None,
        Some(name) => {
            let found = state.store.keyspace(name).await?;
            Some(found.ok_or_else(|| Problem::not_found("keyspace"))?.value.id)
        }
    };
    let (owner, tag) = (wish.owner.clone(), wish.tag.clone());
    let selection = KeySelection { app: Some(app.id), keyspace, owner, tag };
    let meant = meant(&state, &selection).await?;
    if wish.action == BulkAction::Enable {
        // As for one: whoever enables a key hands it out.
        for key in &meant {
            service::check(&state, &caller, Handed::of(app.id, key)).await?;
        }
    }
    let matched = meant.len();
    let dry_run = wish.dry_run;
    let changed = if dry_run { 0 } else { apply(&state, wish, selection, meant, &caller).await? };
    Ok(Json(KeyBulkOut { matched, changed, dry_run }))
}

async fn apply(
    state: &AppState,
    wish: KeyBulkIn,
    selection: KeySelection,
    meant: Vec<Key>,
    caller: &Caller,
) -> Result<usize> {
    let by = caller.actor();
    let change = match wish.action {
        BulkAction::Enable => BulkChange::Enable,
        BulkAction::Disable => BulkChange::Disable,
        BulkAction::Revoke => BulkChange::Revoke { reason: wish.reason, note: wish.note },
        BulkAction::Delete => return delete(state, &selection, meant, &by).await,
    };
    Ok(state.keys.change_keys(selection, change, &by).await?)
}

/// One by one: each has its entry in the audit log, and a second call goes on where this ended.
async fn delete(
    state: &AppState,
    selection: &KeySelection,
    meant: Vec<Key>,
    by: &Actor,
) -> Result<usize> {
    let mut deleted = 0;
    for key in meant {
        let at = keys::KeyAt { app: selection.app, id: key.id.as_str() };
        match state.keys.delete_key(at, by).await {
            Ok(()) => deleted += 1,
            Err(keys::KeysError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(deleted)
}

async fn meant(state: &AppState, selection: &KeySelection) -> Result<Vec<Key>> {
    let mut meant = Vec::new();
    let mut iterator = None;
    loop {
        let page = PageQuery { limit: PAGE, iterator, order: Order::Ascending };
        let query = KeyQuery {
            page,
            app: selection.app,
            keyspace: selection.keyspace,
            owner: selection.owner.clone(),
            tag: selection.tag.clone(),
            ..KeyQuery::default()
        };
        let page = state.store.keys(&query).await?;
        meant.extend(page.data.into_iter().map(|row| row.key.value));
        if meant.len() > MAX_BULK {
            let why = format!("more than {MAX_BULK} keys are meant: narrow it down");
            return Err(Problem::field("owner", why));
        }
        if page.done || page.iterator.is_none() {
            return Ok(meant);
        }
        iterator = page.iterator;
    }
}
