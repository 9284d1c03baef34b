use std::net::IpAddr;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use model::audit::{Actor, ActorKind};
use model::key::RevocationReason;
use serde::Deserialize;
use utoipa::ToSchema;

use super::revocation::check_note;
use crate::AppState;
use crate::access::ClientAddress;
use crate::extract::Body;
use crate::problem::{ProblemDocument, Result};

/// Somebody's own key.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRevokeSelfIn {
    /// The token itself.
    key: String,
    #[serde(default = "compromised")]
    #[schema(value_type = String, example = "key_compromise")]
    reason: RevocationReason,
    #[serde(default)]
    note: Option<String>,
}

const fn compromised() -> RevocationReason {
    RevocationReason::KeyCompromise
}

/// Revoke the key whose token is shown
///
/// Whoever has found a key may end it: holding it is the permission, and no other is needed.
#[utoipa::path(
    post, path = "/api/v1/key/revoke-self", operation_id = "v1.key.revoke_self", tag = "Key",
    security(()),
    request_body = KeyRevokeSelfIn,
    responses(
        (status = 204, description = "Revoked, now or before"),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn revoke_self(
    State(state): State<AppState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    Body(wish): Body<KeyRevokeSelfIn>,
) -> Result<StatusCode> {
    check_note(wish.note.as_deref())?;
    let by = holder(address);
    state.keys.revoke_own(&wish.key, address, wish.reason, wish.note, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The audit entry names the key; who held it nobody knows.
fn holder(address: Option<IpAddr>) -> Actor {
    Actor {
        kind: ActorKind::Token,
        id: None,
        name: "holder of the key".to_owned(),
        address,
        request_id: None,
    }
}
