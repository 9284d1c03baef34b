//! Checks of secrets: what is signed with one secret alone is sent, then what is signed with one
//! that nobody has. Only a receiver that takes the first and refuses the second has been seen to
//! accept the secret.

use std::sync::Arc;

use bytes::Bytes;
use model::MessageId;
use model::secret::{CheckOutcome, SecretKind};
use model::signature::{Secret, Signer};
use serde_json::json;
use store::{SecretCheck, StoreError};

use crate::deliver::Deliverer;

const EVENT_TYPE: &str = "doorbell.secret_check";
/// Not the receiver's judgement of a signature, whatever they were sent.
const NO_JUDGEMENT: [u16; 2] = [408, 429];

/// # Errors
/// When the database fails.
pub(crate) async fn carry_out(deliverer: Arc<Deliverer>) -> Result<(), StoreError> {
    loop {
        let checks = deliverer.store.take_secret_checks().await?;
        if checks.is_empty() {
            return Ok(());
        }
        for check in checks {
            let (outcome, detail) = judge(&deliverer, &check).await;
            let (endpoint, told) = (check.endpoint.id, outcome.as_str());
            tracing::info!(%endpoint, outcome = told, detail, "a secret was checked");
            deliverer.store.finish_secret_check(&check, outcome, &detail).await?;
        }
    }
}

async fn judge(deliverer: &Deliverer, check: &SecretCheck) -> (CheckOutcome, String) {
    let entropy = deliverer.store.entropy();
    let stranger = match SecretKind::of(&check.secret) {
        SecretKind::Hmac => Secret::generate_hmac(entropy),
        SecretKind::Ed25519 => Secret::generate_ed25519(entropy),
    };
    let status = match send(deliverer, check, &check.secret).await {
        Ok(status) => status,
        Err(why) => return (CheckOutcome::Unreachable, why),
    };
    if status >= 500 || NO_JUDGEMENT.contains(&status) {
        return (CheckOutcome::Unreachable, format!("it answered {status}"));
    }
    if !is_success(status) {
        return (CheckOutcome::Refused, format!("it answered {status}"));
    }
    match send(deliverer, check, &stranger).await {
        Err(why) => (CheckOutcome::Unreachable, why),
        Ok(wrong) if is_success(wrong) => {
            let why = format!("it answered {wrong} to a signature that is wrong");
            (CheckOutcome::DoesNotVerify, why)
        }
        Ok(wrong) if NO_JUDGEMENT.contains(&wrong) => {
            (CheckOutcome::Unreachable, format!("it answered {wrong}"))
        }
        Ok(wrong) => {
            (CheckOutcome::Accepted, format!("it answered {status}, and {wrong} to a wrong one"))
        }
    }
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// The status that it is answered with.
async fn send(deliverer: &Deliverer, check: &SecretCheck, secret: &Secret) -> Result<u16, String> {
    let store = &deliverer.store;
    let now = store.clock().now();
    // Another id each time: a receiver may answer one that it has seen without looking.
    let id = MessageId::new(now, store.entropy());
    let payload = json!({
        "type": EVENT_TYPE,
        "timestamp": now.to_rfc3339(),
        "data": { "endpointId": check.endpoint.id },
    });
    let payload = Bytes::from(payload.to_string());
    let prepared = deliverer.requests.prepare(&check.endpoint)?;
    let signer = Signer::new(secret);
    let signers = || std::iter::once(&signer);
    let headers = deliverer.requests.signed(&prepared, signers, id.as_str(), &payload, now);
    let sent = deliverer.http.send(&prepared.target, headers, payload).await;
    sent.answer.map(|answer| answer.status).map_err(|failure| failure.message)
}
