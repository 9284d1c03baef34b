use keys::HashCheck;

use super::format::{Format, whole, word};
use super::setting::section;

section! {
    /// How the secrets of API keys are hashed and checked.
    Keys = "keys" {
        /// bcrypt's cost for new secrets; each step doubles the time to make one. No verification waits for it.
        hash_cost: u32 = "10", "DOORBELL_KEY_HASH_COST", whole(4..=16);
        /// When a verification compares the password hash besides the keyed index.
        hash_check: HashCheck = "never", "DOORBELL_KEY_HASH_CHECK", hash_check();
        /// How long the use of keys is kept by the minute, days.
        usage_retention_days: u32 = "90", "DOORBELL_KEY_USAGE_RETENTION_DAYS", whole(1..=3_650);
    }
}

fn hash_check() -> Format<HashCheck> {
    word(&[
        ("never", HashCheck::Never),
        ("first_use", HashCheck::FirstUse),
        ("always", HashCheck::Always),
    ])
}
