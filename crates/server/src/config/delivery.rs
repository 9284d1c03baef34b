use std::net::IpAddr;

use ipnet::IpNet;
use model::retry::RetrySchedule;

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
        /// Private networks that endpoints may be in, such as 10.0.0.0/8; a bare address is that address alone.
        targets_allow: Vec<IpNet> = "", "DOORBELL_TARGETS_ALLOW", networks();
        /// The User-Agent of outgoing requests.
        user_agent: String = concat!("Doorbell/", env!("CARGO_PKG_VERSION")), "DOORBELL_USER_AGENT", user_agent();
        /// Names of the signature headers: webhook-…, svix-…, or both.
        header_style: HeaderStyle = "webhook", "DOORBELL_HEADER_STYLE", header_style();
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
