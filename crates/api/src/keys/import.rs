use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keys::{ImportedHash, KeysError, MAX_IMPORT, NewImport};
use model::access::Permission;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wish::KeyIn;
use super::{KeyOut, service};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, InApp};
use crate::problem::{Problem, ProblemDocument, Result};

/// Keys of another system, whose tokens nobody has.
#[derive(Deserialize, ToSchema)]
pub struct KeyImportIn {
    /// Up to 1,000.
    keys: Vec<ImportIn>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyImport)]
pub struct ImportIn {
    #[serde(flatten)]
    key: KeyIn,
    kind: HashKind,
    /// As the other system kept it: hex or base64 of a digest, or the text of a salted hash.
    hash: String,
    /// Base64 of the secret of an `hmac_sha256`.
    #[serde(default)]
    hmac_secret: Option<String>,
    /// The first eight characters of the token: a salted hash is found by them.
    #[serde(default)]
    start: Option<String>,
    /// How much of the token is random, in bits. Below 112 no fast index is kept.
    entropy_bits: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyImportKind)]
pub enum HashKind {
    Sha256,
    Sha512,
    HmacSha256,
    Bcrypt,
    Argon2,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct KeyImportOut {
    /// In the order of the request.
    pub data: Vec<ImportOut>,
}

/// Either the key, or why it was not imported.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyImportResult)]
pub struct ImportOut {
    pub key: Option<KeyOut>,
    pub error: Option<String>,
}

/// Import keys by their hashes
///
/// Each is imported or refused by itself; what was imported stays when a later one is refused.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/key/import", operation_id = "v1.key.import", tag = "Key",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = KeyImportIn,
    responses(
        (status = 200, body = KeyImportOut),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn import(
    State(state): State<AppState>,
    caller: Caller,
    InApp(app): InApp,
    Body(wish): Body<KeyImportIn>,
) -> Result<Json<KeyImportOut>> {
    if wish.keys.len() > MAX_IMPORT {
        return Err(Problem::field("keys", format!("may be {MAX_IMPORT} at the most")));
    }
    let mut data = Vec::with_capacity(wish.keys.len());
    for one in wish.keys {
        service::check(&state, &caller, one.key.handed(app.id)).await?;
        let imported = match one.in_app(app.id) {
            Ok(import) => import_one(&state, &caller, import).await?,
            Err(why) => Err(why),
        };
        data.push(out(imported)?);
    }
    Ok(Json(KeyImportOut { data }))
}

/// The first import of a kind changes the keyspace, for all who use it.
async fn import_one(
    state: &AppState,
    caller: &Caller,
    import: NewImport,
) -> Result<Result<model::key::Key, KeysError>> {
    match state.keys.knows_kind(&import).await {
        Ok(true) => {}
        Ok(false) => caller.need_on_instance(Permission::KeyspacesWrite)?,
        Err(error) => return Ok(Err(error)),
    }
    Ok(state.keys.import_key(import, &caller.actor()).await)
}

/// What is wrong with one key is its own; what is wrong with us ends the whole.
fn out(imported: Result<model::key::Key, KeysError>) -> Result<ImportOut> {
    match imported {
        Ok(key) => Ok(ImportOut { key: Some(key.into()), error: None }),
        Err(
            error @ (KeysError::Store(_)
            | KeysError::Busy
            | KeysError::Contended(_)
            | KeysError::Tampered(_)),
        ) => Err(error.into()),
        Err(error) => Ok(ImportOut { key: None, error: Some(error.to_string()) }),
    }
}

impl ImportIn {
    fn in_app(self, app: model::AppId) -> Result<NewImport, KeysError> {
        let hash = match self.kind {
            HashKind::Sha256 => ImportedHash::Sha256(self.hash),
            HashKind::Sha512 => ImportedHash::Sha512(self.hash),
            HashKind::Bcrypt => ImportedHash::Bcrypt(self.hash),
            HashKind::Argon2 => ImportedHash::Argon2(self.hash),
            HashKind::HmacSha256 => {
                let secret = self.hmac_secret.and_then(|text| STANDARD.decode(text).ok());
                let secret = secret.ok_or_else(|| KeysError::Invalid {
                    field: "hmacSecret",
                    why: "must be the base64 of the secret".to_owned(),
                })?;
                ImportedHash::HmacSha256 { digest: self.hash, secret }
            }
        };
        let (start, entropy_bits) = (self.start, self.entropy_bits);
        Ok(NewImport { key: self.key.in_app(app), hash, start, entropy_bits })
    }
}
