use std::fmt;

use ipnet::IpNet;

use super::delivery::networks;
use super::format::{Format, whole};
use super::setting::section;

const MIN_TOKEN_CHARACTERS: usize = 16;
const MAX_PER_MINUTE: u64 = 1_000_000_000;

section! {
    /// Who may call the API, and how often.
    Auth = "auth" {
        /// The first admin token, instead of a generated one. Has no flag: a command line is no place for a secret.
        admin_token: Option<Secret> = "", "DOORBELL_ADMIN_TOKEN", token().optional();
        /// Proxies in front of this server, and those that ask it about keys: what they say of their clients' addresses is believed, and only to them identities are signed.
        trusted_proxies: Vec<IpNet> = "", "DOORBELL_TRUSTED_PROXIES", networks();
        /// Requests of one token per minute; 0: no limit.
        requests_per_token: u64 = "6000000", "DOORBELL_REQUESTS_PER_TOKEN", whole(0..=MAX_PER_MINUTE);
        /// Requests from one address per minute; 0: no limit.
        requests_per_address: u64 = "6000000", "DOORBELL_REQUESTS_PER_ADDRESS", whole(0..=MAX_PER_MINUTE);
        /// Requests from one address per minute whose token is refused or lacks a permission; 0: no limit.
        refusals_per_address: u64 = "600", "DOORBELL_REFUSALS_PER_ADDRESS", whole(0..=MAX_PER_MINUTE);
        /// Messages published into one application per minute; 0: no limit.
        messages_per_app: u64 = "6000000", "DOORBELL_MESSAGES_PER_APP", whole(0..=MAX_PER_MINUTE);
    }
}

/// A text that debug output does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn token() -> Format<Secret> {
    let format =
        Format::new(format!("at least {MIN_TOKEN_CHARACTERS} visible ASCII characters"), |text| {
            if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("has a character that a request header cannot carry".to_owned());
            }
            match text.len() {
                MIN_TOKEN_CHARACTERS.. => Ok(Secret(text.to_owned())),
                length => Err(format!("has only {length} characters")),
            }
        });
    format.secret()
}
