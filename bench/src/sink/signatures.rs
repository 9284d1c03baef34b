//! Receivers that verify: one that stays with the old secret of an endpoint, and one that changes
//! to the new one as soon as it is told. Only what is certain is held against the server.

use std::collections::HashMap;

use model::Timestamp;
use model::signature::{Secret, Signed, Signer, verify};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::payload;

/// What the two receivers of a lane are told.
#[derive(Serialize, Deserialize)]
pub struct Told {
    pub old: String,
    pub new: String,
    /// When the rotation was answered: what was published later is signed with the new secret.
    pub told_ns: u64,
    /// When the grace of the old secret is over.
    pub old_ends_at_ms: i64,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Verified {
    /// That came within the grace, and those of them that the old-only receiver refused
    pub by_old: u64,
    pub old_refused_in_grace: u64,
    /// That were published after the rotation, and those that the new-only receiver refused
    pub by_new: u64,
    pub new_refused: u64,
    /// Signed a second after the grace, and those that the old-only receiver still took
    pub after_grace: u64,
    pub old_good_after_grace: u64,
}

struct Receivers {
    old: Signer,
    new: Signer,
    told: Told,
}

/// By lane; most have none.
#[derive(Default)]
pub struct Signatures {
    receivers: HashMap<String, Receivers>,
    verified: Verified,
}

impl Signatures {
    pub fn tell(&mut self, lane: &str, told: Told) -> Outcome<()> {
        let signer =
            |text: &str| Ok::<_, model::signature::SecretError>(Signer::new(&Secret::parse(text)?));
        let receivers = Receivers { old: signer(&told.old)?, new: signer(&told.new)?, told };
        self.receivers.insert(lane.to_owned(), receivers);
        Ok(())
    }

    pub const fn verified(&self) -> Verified {
        self.verified
    }

    pub fn arrive(&mut self, lane: &str, signed: Signed<'_>, now_ms: i64) {
        let Some(of) = self.receivers.get(lane) else { return };
        let is_good = |signer: &Signer| {
            verify(std::slice::from_ref(signer), signed, Timestamp(now_ms)).is_ok()
        };
        let (told, seen) = (&of.told, &mut self.verified);
        let signed_ms = signed.timestamp.parse::<i64>().unwrap_or(0).saturating_mul(1_000);
        if now_ms < told.old_ends_at_ms {
            seen.by_old += 1;
            seen.old_refused_in_grace += u64::from(!is_good(&of.old));
        } else if signed_ms >= told.old_ends_at_ms + 1_000 {
            seen.after_grace += 1;
            seen.old_good_after_grace += u64::from(is_good(&of.old));
        }
        if payload::sent_ns(signed.body).is_some_and(|sent_ns| sent_ns > told.told_ns) {
            seen.by_new += 1;
            seen.new_refused += u64::from(!is_good(&of.new));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Entropy;
    use model::signature::signature_header;

    const ENDS_MS: i64 = 1_790_000_000_000;

    #[test]
    fn only_what_is_certain_is_judged() {
        let secret = |seed| Secret::generate_hmac(&Entropy::seeded(seed));
        let (old, new) = (secret(1), secret(2));
        let mut signatures = Signatures::default();
        let told = Told {
            old: old.to_text(),
            new: new.to_text(),
            told_ns: 1_700_000_000_000_000_000,
            old_ends_at_ms: ENDS_MS,
        };
        signatures.tell("a", told).unwrap();
        let mut arrive = |lane: &str, secrets: &[&Secret], sent_ns: u64, now_ms: i64| {
            let mut body = String::new();
            payload::write(&mut body, sent_ns);
            let signers: Vec<Signer> = secrets.iter().map(|secret| Signer::new(secret)).collect();
            let seconds = now_ms.div_euclid(1_000);
            let signature = signature_header(&signers, "m", seconds, body.as_bytes());
            let (timestamp, body) = (seconds.to_string(), body.as_bytes());
            let signed = Signed { id: "m", timestamp: &timestamp, signature: &signature, body };
            signatures.arrive(lane, signed, now_ms);
            let seen = signatures.verified();
            [seen.old_refused_in_grace, seen.new_refused, seen.old_good_after_grace]
        };
        let (before, after) = (1_600_000_000_000_000_000, 1_750_000_000_000_000_000);
        assert_eq!(arrive("b", &[], after, 1), [0, 0, 0], "nobody verifies there");
        assert_eq!(arrive("a", &[&old], before, ENDS_MS - 5_000), [0, 0, 0]);
        assert_eq!(arrive("a", &[&new, &old], after, ENDS_MS - 5_000), [0, 0, 0]);
        assert_eq!(arrive("a", &[&new], after, ENDS_MS - 5_000), [1, 0, 0]);
        assert_eq!(arrive("a", &[&old], after, ENDS_MS - 5_000), [1, 1, 0]);
        assert_eq!(
            arrive("a", &[&new, &old], after, ENDS_MS + 500),
            [1, 1, 0],
            "within the second"
        );
        assert_eq!(arrive("a", &[&new], after, ENDS_MS + 2_000), [1, 1, 0]);
        assert_eq!(arrive("a", &[&new, &old], after, ENDS_MS + 2_000), [1, 1, 1]);
    }
}
