//! The history of an endpoint's secrets: who made each, when and why, and how it ended. It tells
//! secrets apart by their fingerprints, holds none, and outlives them. Of asymmetric ones it also
//! keeps the public key, for receivers to read.

use model::audit::Actor;
use model::secret::{CheckOutcome, SecretKind, SecretReason, SecretState};
use model::signature::Secret;
use model::{AppId, EndpointId, Timestamp};
use serde_json::json;
use sqlx::FromRow;

use super::Origin;
use crate::db::{Tx, on};
use crate::operations::event;
use crate::{Operation, Result, Store, rows};

/// Secrets of one endpoint that the history remembers.
pub const MAX_HISTORY: i64 = 200;
/// Rotations announced, or secrets looked at, in one go.
const MAX_AT_ONCE: i64 = 100;

macro_rules! columns {
    () => {
        "endpoint_id, created_at, app_id, kind, fingerprint, public_key, reason, actor, ends_at, \
         revoked_at, revoked_by, check_requested_at, checked_at, check_outcome, check_detail"
    };
}
pub(super) use columns;

const OF_ENDPOINT: &str = concat!(
    "select ",
    columns!(),
    " from secret_history where endpoint_id = $1 and app_id = $2 order by created_at desc limit $3"
);
const UNANNOUNCED: &str = concat!(
    "select ",
    columns!(),
    " from secret_history where not announced order by created_at limit $1"
);
const UID_OF: &str = "select e.uid as endpoint_uid, a.uid as app_uid from endpoint e \
    join app a on a.id = e.app_id where e.id = $1";
const ANNOUNCED: &str =
    "update secret_history set announced = true where endpoint_id = $1 and created_at = $2";
const INSERT: &str = "insert into secret_history (endpoint_id, created_at, app_id, kind, \
    fingerprint, public_key, reason, actor, announced) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
pub(super) const END_CURRENT: &str = "update secret_history set ends_at = $2 \
    where endpoint_id = $1 and ends_at is null";
const REVOKE: &str = "update secret_history set ends_at = $2, revoked_at = $2, revoked_by = $4 \
    where endpoint_id = $1 and ends_at > $2 and ($3 = '' or fingerprint = $3) \
    returning fingerprint";
const FORGET: &str = "delete from secret_history where endpoint_id = $1 and ends_at is not null \
    and created_at in (select created_at from secret_history where endpoint_id = $1 \
    order by created_at desc limit 1000 offset $2)";
const UNREAD: &str = "select s.endpoint_id, s.created_at, s.sealed, s.expires_at from secret s \
    join secret_history h on h.endpoint_id = s.endpoint_id and h.created_at = s.created_at \
    where h.fingerprint is null limit $1";
const READ: &str = "update secret_history set kind = $3, fingerprint = $4, public_key = $5 \
    where endpoint_id = $1 and created_at = $2";
const PUBLIC: &str = "select fingerprint, public_key from secret_history where endpoint_id = $1 \
    and public_key is not null and (ends_at is null or ends_at > $2) order by created_at desc";
pub(super) const DELETE: &str = "delete from secret_history where endpoint_id = $1";
pub(super) const DELETE_OF_APP: &str = "delete from secret_history where app_id = $1";

/// What is known of a secret that an endpoint has or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRecord {
    pub endpoint_id: EndpointId,
    pub app_id: AppId,
    pub created_at: Timestamp,
    /// None of one that ended before history was kept.
    pub kind: Option<SecretKind>,
    pub fingerprint: Option<String>,
    /// Of an asymmetric one: `whpk_…`.
    pub public_key: Option<String>,
    pub reason: SecretReason,
    /// Who made it; none: it was made before history was kept.
    pub actor: Option<String>,
    /// None: it is the current one.
    pub ends_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub revoked_by: Option<String>,
    pub check_requested_at: Option<Timestamp>,
    pub checked_at: Option<Timestamp>,
    pub check_outcome: Option<CheckOutcome>,
    pub check_detail: Option<String>,
}

impl SecretRecord {
    #[must_use]
    pub fn state(&self, now: Timestamp) -> SecretState {
        match (self.ends_at, self.revoked_at) {
            (None, _) => SecretState::Current,
            (Some(_), Some(_)) => SecretState::Revoked,
            (Some(ends_at), None) if ends_at > now => SecretState::Grace,
            (Some(_), None) => SecretState::Expired,
        }
    }
}

/// What a receiver verifies with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub fingerprint: String,
    /// `whpk_…`
    pub text: String,
}

#[derive(FromRow)]
pub(super) struct Row {
    endpoint_id: String,
    created_at: i64,
    app_id: String,
    kind: Option<String>,
    fingerprint: Option<String>,
    public_key: Option<String>,
    reason: String,
    actor: Option<String>,
    ends_at: Option<i64>,
    revoked_at: Option<i64>,
    revoked_by: Option<String>,
    check_requested_at: Option<i64>,
    checked_at: Option<i64>,
    check_outcome: Option<String>,
    check_detail: Option<String>,
}

impl Row {
    pub fn read(self) -> Result<SecretRecord> {
        Ok(SecretRecord {
            endpoint_id: rows::id(&self.endpoint_id)?,
            app_id: rows::id(&self.app_id)?,
            created_at: Timestamp(self.created_at),
            kind: self.kind.as_deref().map(SecretKind::parse),
            fingerprint: self.fingerprint,
            public_key: self.public_key,
            reason: SecretReason::parse(&self.reason),
            actor: self.actor,
            ends_at: rows::moment(self.ends_at),
            revoked_at: rows::moment(self.revoked_at),
            revoked_by: self.revoked_by,
            check_requested_at: rows::moment(self.check_requested_at),
            checked_at: rows::moment(self.checked_at),
            check_outcome: self.check_outcome.as_deref().map(CheckOutcome::parse),
            check_detail: self.check_detail,
        })
    }
}

impl Store {
    /// The secrets an endpoint has and had, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn secret_history(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<Vec<SecretRecord>> {
        let found: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(OF_ENDPOINT)
            .bind(endpoint.as_str()).bind(app.as_str()).bind(MAX_HISTORY).fetch_all(c).await)?;
        found.into_iter().map(Row::read).collect()
    }

    /// The public keys of an endpoint's living secrets, newest first. They are nobody's secret:
    /// whoever knows the endpoint's id may ask.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn public_keys(&self, endpoint: EndpointId) -> Result<Vec<PublicKey>> {
        let found: Vec<(String, String)> = on!(self.db().reader(), c => sqlx::query_as(PUBLIC)
            .bind(endpoint.as_str()).bind(self.now().0).fetch_all(c).await)?;
        Ok(found.into_iter().map(|(fingerprint, text)| PublicKey { fingerprint, text }).collect())
    }

    /// Says of rotations that they happened: first it is said, then it is noted, so that a node
    /// that dies in between leaves it to the next look. Answers how many.
    ///
    /// # Errors
    /// When something is left to the next look.
    pub async fn announce_rotations(&self) -> Result<usize> {
        let found: Vec<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(UNANNOUNCED).bind(MAX_AT_ONCE).fetch_all(c).await
        })?;
        let mut said = Vec::with_capacity(found.len());
        let mut records = Vec::with_capacity(found.len());
        for row in found {
            let record = row.read()?;
            said.push(self.rotated(&record).await?);
            records.push(record);
        }
        if records.is_empty() {
            return Ok(0);
        }
        if let Err(error) = self.publish_operations(said).await {
            tracing::warn!(%error, "rotations are announced at the next look");
            return Ok(0);
        }
        let mut tx = self.db().begin().await?;
        for record in &records {
            on!(&mut tx, c => sqlx::query(ANNOUNCED)
                .bind(record.endpoint_id.as_str()).bind(record.created_at.0)
                .execute(&mut **c).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(records.len())
    }

    pub(super) async fn try_announce_rotations(&self) {
        if let Err(error) = self.announce_rotations().await {
            tracing::warn!(%error, "rotations are announced at the next look");
        }
    }

    async fn rotated(&self, record: &SecretRecord) -> Result<Operation> {
        let (endpoint_uid, app_uid) = self.uids_of(record.endpoint_id).await?;
        let data = json!({
            "appUid": app_uid,
            "endpointId": record.endpoint_id,
            "endpointUid": endpoint_uid,
            "fingerprint": record.fingerprint,
            "kind": record.kind,
            "reason": record.reason,
            "rotatedAt": record.created_at.to_rfc3339(),
        });
        Ok(Operation {
            event_type: event::SECRET_ROTATED,
            app_id: Some(record.app_id),
            event_id: format!("secret.rotated.{}.{}", record.endpoint_id, record.created_at.0),
            at: record.created_at,
            data: data.as_object().cloned().unwrap_or_default(),
        })
    }

    /// Of an endpoint and of its app.
    pub(super) async fn uids_of(
        &self,
        endpoint: EndpointId,
    ) -> Result<(Option<String>, Option<String>)> {
        let found: Option<(Option<String>, Option<String>)> = on!(self.db().reader(), c => {
            sqlx::query_as(UID_OF).bind(endpoint.as_str()).fetch_optional(c).await
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Looks at secrets that are older than the history; answers how many there were.
    ///
    /// # Errors
    /// When the database fails, or a secret does not open.
    pub async fn read_old_secrets(&self) -> Result<usize> {
        let found: Vec<super::Row> = on!(self.db().reader(), c => {
            sqlx::query_as(UNREAD).bind(MAX_AT_ONCE).fetch_all(c).await
        })?;
        if found.is_empty() {
            return Ok(0);
        }
        let mut tx = self.db().begin().await?;
        for row in &found {
            let secret = self.secret_of(row)?;
            on!(&mut tx, c => sqlx::query(READ)
                .bind(&row.endpoint_id).bind(row.created_at)
                .bind(SecretKind::of(&secret).as_str())
                .bind(secret.fingerprint()).bind(secret.public_key_text())
                .execute(&mut **c).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(found.len())
    }
}

pub(super) async fn insert(tx: &mut Tx, origin: &Origin<'_>, secret: &Secret) -> Result<()> {
    let has_come_with_its_endpoint = origin.reason == SecretReason::Created;
    on!(tx, c => sqlx::query(INSERT)
        .bind(origin.endpoint.as_str())
        .bind(origin.created_at.0)
        .bind(origin.app.as_str())
        .bind(SecretKind::of(secret).as_str())
        .bind(secret.fingerprint())
        .bind(secret.public_key_text())
        .bind(origin.reason.as_str())
        .bind(&origin.by.name)
        .bind(has_come_with_its_endpoint)
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

/// Answers the fingerprints of those that ended by it.
pub(super) async fn revoke(
    tx: &mut Tx,
    endpoint: EndpointId,
    fingerprint: &str,
    now: Timestamp,
    by: &Actor,
) -> Result<Vec<Option<String>>> {
    let ended: Vec<(Option<String>,)> = on!(tx, c => sqlx::query_as(REVOKE)
        .bind(endpoint.as_str()).bind(now.0).bind(fingerprint).bind(&by.name)
        .fetch_all(&mut **c).await)?;
    Ok(ended.into_iter().map(|(fingerprint,)| fingerprint).collect())
}

pub(super) async fn forget_oldest(tx: &mut Tx, endpoint: EndpointId) -> Result<()> {
    on!(tx, c => sqlx::query(FORGET)
        .bind(endpoint.as_str()).bind(MAX_HISTORY).execute(&mut **c).await.map(drop))?;
    Ok(())
}
