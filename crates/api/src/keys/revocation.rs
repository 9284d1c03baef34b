//! What the ways of revoking a key have in common.

use keys::{Confirmation, Revoked};
use serde::Serialize;
use utoipa::ToSchema;

use super::KeyOut;
use crate::problem::{Problem, Result};

/// The longest text that says why.
const MAX_NOTE_LEN: usize = 1_000;

/// A revoked key, and who knows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevokedOut {
    #[serde(flatten)]
    pub key: KeyOut,
    /// Where `wait` was asked for.
    pub confirmation: Option<ConfirmationOut>,
}

/// How many of the living nodes refuse the key by now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyRevocationConfirmation)]
pub struct ConfirmationOut {
    pub nodes: usize,
    pub confirmed: usize,
    pub complete: bool,
    pub took_ms: u64,
}

impl From<Confirmation> for ConfirmationOut {
    fn from(confirmation: Confirmation) -> Self {
        Self {
            nodes: confirmation.nodes,
            confirmed: confirmation.confirmed,
            complete: confirmation.is_complete(),
            took_ms: confirmation.took_ms,
        }
    }
}

impl From<Revoked> for RevokedOut {
    fn from(revoked: Revoked) -> Self {
        Self { key: revoked.key.into(), confirmation: revoked.confirmation.map(Into::into) }
    }
}

/// Why, as callers say it.
pub(super) fn check_note(note: Option<&str>) -> Result<()> {
    match note {
        Some(note) if note.len() > MAX_NOTE_LEN => {
            Err(Problem::field("note", format!("may have at most {MAX_NOTE_LEN} bytes")))
        }
        Some(note) => model::name::check_text(note).map_err(|error| Problem::field("note", error)),
        None => Ok(()),
    }
}
