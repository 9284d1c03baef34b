use std::path::PathBuf;

use super::format::{Format, list, path, url, whole};
use super::setting::section;

section! {
    /// The process: where it keeps its data, where it listens, and what it does.
    Server = "server" {
        /// Folder of the SQLite file and of the instance secrets; made if missing.
        data_dir: PathBuf = "doorbell-data", "DOORBELL_DATA_DIR", path();
        /// Address to listen on; port 0 takes a free one.
        listen: String = "127.0.0.1:8071", "DOORBELL_LISTEN", host_and_port();
        /// Where clients reach this server, for links in its answers; empty: the address it listens on.
        public_url: Option<String> = "", "DOORBELL_PUBLIC_URL", base_url().optional();
        /// What this process does: answer requests (api), deliver (worker), or both.
        roles: Roles = "api,worker", "DOORBELL_ROLES", roles();
        /// Open connections from clients; more than that wait.
        max_connections: usize = "10000", "DOORBELL_MAX_CONNECTIONS", whole(1..=1_000_000);
        /// Time a client has to send the headers of a request.
        header_timeout_ms: u64 = "10000", "DOORBELL_HEADER_TIMEOUT_MS", whole(100..=120_000);
        /// Time to finish what is in flight after a signal to stop.
        shutdown_timeout_ms: u64 = "25000", "DOORBELL_SHUTDOWN_TIMEOUT_MS", whole(0..=600_000);
        /// PEM file with the certificate chain; with it the server speaks TLS only.
        tls_cert: Option<PathBuf> = "", "DOORBELL_TLS_CERT", path().optional();
        /// PEM file with the private key of the certificate.
        tls_key: Option<PathBuf> = "", "DOORBELL_TLS_KEY", path().optional();
    }
}

/// The parts of Doorbell that this process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub api: bool,
    pub worker: bool,
}

fn roles() -> Format<Roles> {
    let words = list("api, worker, or both, with a comma between", |text| match text {
        "api" => Ok(Roles { api: true, worker: false }),
        "worker" => Ok(Roles { api: false, worker: true }),
        _ => Err("is no role".to_owned()),
    });
    words.then(|roles| {
        let both = roles
            .iter()
            .copied()
            .reduce(|a, b| Roles { api: a.api || b.api, worker: a.worker || b.worker });
        both.ok_or_else(|| "names no role".to_owned())
    })
}

/// `host:port`, where the host is a name, an IPv4 address or an IPv6 address in brackets.
fn host_and_port() -> Format<String> {
    Format::new("a host and a port, such as 0.0.0.0:8071", |text| {
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err("has no port".to_owned());
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("has no host".to_owned());
        }
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err("has an IPv6 address without brackets".to_owned());
        }
        match port.parse::<u16>() {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err("has a port that is not a number from 0 to 65535".to_owned()),
        }
    })
}

/// An http(s) URL to put paths behind, without its last slash.
fn base_url() -> Format<String> {
    url(&["http://", "https://"]).then(|text| match text.contains(['?', '#']) {
        true => Err("has a query or a fragment".to_owned()),
        false => Ok(text.trim_end_matches('/').to_owned()),
    })
}
