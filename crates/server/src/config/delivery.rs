use std::net::IpAddr;

use ipnet::IpNet;
use model::retry::RetrySchedule;
use model::secret::SecretPolicy;

use super::format::{Format, list, whole, word};
use super::setting::section;

section! {
    /// How messages reach endpoints.
    Delivery = "delivery" {
        /// Waits before the first and each further attempt, where no endpoint or event type has its own.
        retry_schedule: RetrySchedule =
            "0s,1s,5s,15s,1m,5m,30m,2h,5h,10h,14h,20h,24h", "DOORBELL_RETRY_SCHEDULE", retry_schedule();
        /// Time to reach an endpoint: name, connection and TLS.
        connect_timeout_ms: u64 = "5000", "DOORBELL_CONNECT_TIMEOUT_MS", whole(100..=30_000);
        /// Time for one attempt, to the last byte of the response.
        timeout_ms: u64 = "20000", "DOORBELL_TIMEOUT_MS", whole(1000..=30_000);
        /// Attempts in flight in this process.
        max_in_flight: usize = "2048", "DOORBELL_MAX_IN_FLIGHT", whole(1..=100_000);
        /// Attempts in flight to one endpoint.
        endpoint_max_in_flight: usize = "256", "DOORBELL_ENDPOINT_MAX_IN_FLIGHT", whole(1..=100_000);
        /// Days that an endpoint may fail without one success before it is disabled; 0 means forever.
        auto_disable_days: u32 = "5", "DOORBELL_AUTO_DISABLE_DAYS", whole(0..=365);
        /// Failures that must lie far apart as well, before it is disabled.
        auto_disable_failures: u32 = "3", "DOORBELL_AUTO_DISABLE_FAILURES", whole(1..=1000);
        /// Hours that are far apart.
        auto_disable_hours_apart: u32 = "12", "DOORBELL_AUTO_DISABLE_HOURS_APART", whole(0..=720);
        /// Private networks that endpoints may be in, such as 10.0.0.0/8; a bare address is that address alone.
        targets_allow: Vec<IpNet> = "", "DOORBELL_TARGETS_ALLOW", networks();
        /// The User-Agent of outgoing requests.
        user_agent: String = concat!("Doorbell/", env!("CARGO_PKG_VERSION")), "DOORBELL_USER_AGENT", user_agent();
        /// Names of the signature headers: webhook-…, svix-…, or both.
        header_style: HeaderStyle = "webhook", "DOORBELL_HEADER_STYLE", header_style();
        /// Days after which an endpoint's secret is renewed where it has no policy of its own; 0 means never.
        secret_rotation_days: u32 = "0", "DOORBELL_SECRET_ROTATION_DAYS", whole(0..=3_650);
        /// How long the secret before signs beside a renewed one.
        secret_grace_seconds: u64 = "86400", "DOORBELL_SECRET_GRACE_SECONDS", whole(0..=2_592_000);
        /// Days before a renewal at which it is announced as an operational event.
        secret_notice_days: u32 = "7", "DOORBELL_SECRET_NOTICE_DAYS", whole(0..=365);
    }
}

impl Delivery {
    /// Of endpoints that have none of their own.
    pub fn secret_policy(&self) -> Option<SecretPolicy> {
        (self.secret_rotation_days > 0).then_some(SecretPolicy {
            every_days: self.secret_rotation_days,
            grace_seconds: self.secret_grace_seconds,
            notice_days: self.secret_notice_days,
        })
    }
}

/// Which names the signature headers carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderStyle {
    Webhook,
    Svix,
    Both,
}

const MAX_USER_AGENT_CHARACTERS: usize = 256;

fn retry_schedule() -> Format<RetrySchedule> {
    let expects = "waits with a comma between, such as 0s,5s,1m,2h";
    Format::new(expects, |text| text.parse().map_err(|error| format!("is no schedule ({error})")))
}

pub(super) fn networks() -> Format<Vec<IpNet>> {
    list("networks with a comma between, such as 10.0.0.0/8,fd00::/8", |text| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| "is neither a network nor an address".to_owned())
    })
}

fn user_agent() -> Format<String> {
    Format::new(format!("1 to {MAX_USER_AGENT_CHARACTERS} printable ASCII characters"), |text| {
        let is_printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        match (1..=MAX_USER_AGENT_CHARACTERS).contains(&text.len()) && is_printable {
            true => Ok(text.to_owned()),
            false => Err("cannot be a request header".to_owned()),
        }
    })
}

fn header_style() -> Format<HeaderStyle> {
    word(&[
        ("webhook", HeaderStyle::Webhook),
        ("svix", HeaderStyle::Svix),
        ("both", HeaderStyle::Both),
    ])
}
