//! What is told of a signing secret without showing it, and when a policy renews one.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::signature::Secret;

pub const MAX_EVERY_DAYS: u32 = 3_650;
/// How long a secret may sign on beside the one after it.
pub const MAX_GRACE_SECONDS: u64 = 30 * 24 * 60 * 60;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How a secret signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// `v1`: HMAC-SHA-256 with a key that the receiver shares.
    Hmac,
    /// `v1a`: the receiver has the public key only.
    Ed25519,
}

impl SecretKind {
    #[must_use]
    pub const fn of(secret: &Secret) -> Self {
        match secret {
            Secret::Hmac(_) => Self::Hmac,
            Secret::Ed25519(_) => Self::Ed25519,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Ed25519 => "ed25519",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text == "ed25519" { Self::Ed25519 } else { Self::Hmac }
    }
}

/// Why there is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretReason {
    /// It came with its endpoint.
    Created,
    /// Somebody put it in the place of the one before.
    Rotated,
    /// A policy did.
    Policy,
}

impl SecretReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Rotated => "rotated",
            Self::Policy => "policy",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "rotated" => Self::Rotated,
            "policy" => Self::Policy,
            _ => Self::Created,
        }
    }
}

/// Where a secret is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretState {
    Current,
    /// It signs beside the current one until its grace is over.
    Grace,
    Expired,
    /// Somebody ended its grace.
    Revoked,
}

/// What a receiver made of a message that was signed with one secret alone, and of one that was
/// signed by nobody it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// It took the first and refused the second.
    Accepted,
    /// It refused the first.
    Refused,
    /// It took both.
    DoesNotVerify,
    /// It gave no answer that says anything.
    Unreachable,
}

impl CheckOutcome {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::DoesNotVerify => "does_not_verify",
            Self::Unreachable => "unreachable",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "accepted" => Self::Accepted,
            "refused" => Self::Refused,
            "does_not_verify" => Self::DoesNotVerify,
            _ => Self::Unreachable,
        }
    }
}

/// When a secret is renewed without anybody asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretPolicy {
    pub every_days: u32,
    /// How long the secret before signs on.
    pub grace_seconds: u64,
    /// How long before it is said.
    pub notice_days: u32,
}

/// A policy that cannot be kept, by its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecretPolicy {
    #[error("must be 1 to {MAX_EVERY_DAYS}")]
    EveryDays,
    #[error("must be 0 to {MAX_GRACE_SECONDS}, and not longer than the time between rotations")]
    GraceSeconds,
    #[error("must be shorter than the time between rotations")]
    NoticeDays,
}

impl SecretPolicy {
    /// # Errors
    /// Names the first field that is wrong.
    pub const fn check(&self) -> Result<(), BadSecretPolicy> {
        if self.every_days == 0 || self.every_days > MAX_EVERY_DAYS {
            return Err(BadSecretPolicy::EveryDays);
        }
        if self.grace_seconds > MAX_GRACE_SECONDS || self.grace_ms() > self.every_ms() {
            return Err(BadSecretPolicy::GraceSeconds);
        }
        if self.notice_days >= self.every_days {
            return Err(BadSecretPolicy::NoticeDays);
        }
        Ok(())
    }

    #[must_use]
    pub const fn every_ms(&self) -> u64 {
        self.every_days as u64 * DAY_MS
    }

    #[must_use]
    pub const fn grace_ms(&self) -> u64 {
        self.grace_seconds.saturating_mul(1_000)
    }

    #[must_use]
    pub const fn notice_ms(&self) -> u64 {
        self.notice_days as u64 * DAY_MS
    }

    /// When a secret that was made at `created_at` is due.
    #[must_use]
    pub fn due_at(&self, created_at: Timestamp) -> Timestamp {
        created_at.plus_ms(self.every_ms())
    }

    /// When that is said.
    #[must_use]
    pub fn notice_at(&self, created_at: Timestamp) -> Timestamp {
        self.due_at(created_at).minus_ms(self.notice_ms())
    }

    /// When it is renewed if it is said at `now`: whoever is told has the whole time that the
    /// policy promises, however late it is said.
    #[must_use]
    pub fn rotates_at(&self, created_at: Timestamp, now: Timestamp) -> Timestamp {
        self.due_at(created_at).max(now.plus_ms(self.notice_ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: SecretPolicy =
        SecretPolicy { every_days: 90, grace_seconds: 86_400, notice_days: 7 };

    #[test]
    fn a_policy_is_one_that_can_be_kept() {
        assert_eq!(POLICY.check(), Ok(()));
        let bad = |change: fn(&mut SecretPolicy)| {
            let mut policy = POLICY;
            change(&mut policy);
            policy.check()
        };
        assert_eq!(bad(|p| p.every_days = 0), Err(BadSecretPolicy::EveryDays));
        assert_eq!(bad(|p| p.every_days = 3_651), Err(BadSecretPolicy::EveryDays));
        assert_eq!(bad(|p| p.grace_seconds = u64::MAX), Err(BadSecretPolicy::GraceSeconds));
        let short =
            |p: &mut SecretPolicy| (p.every_days, p.notice_days, p.grace_seconds) = (1, 0, 86_401);
        assert_eq!(bad(short), Err(BadSecretPolicy::GraceSeconds));
        assert_eq!(bad(|p| p.notice_days = 90), Err(BadSecretPolicy::NoticeDays));
    }

    #[test]
    fn a_late_notice_moves_the_rotation() {
        let made = Timestamp(1_000);
        let due = POLICY.due_at(made);
        assert_eq!(due.since_ms(made), 90 * DAY_MS);
        assert_eq!(POLICY.rotates_at(made, POLICY.notice_at(made)), due);
        assert_eq!(POLICY.rotates_at(made, due), due.plus_ms(7 * DAY_MS));
    }
}
