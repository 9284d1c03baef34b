//! Who the key belongs to, as headers for the upstream.
//!
//! The names of the first five are those that Kong uses, so that upstreams behind it need no
//! change. Every header is sent with every answer, refusals included, and is empty where nothing
//! is to be said: a proxy that copies it then overwrites what the client sent under this name.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use keys::Entry;

use crate::AppState;

/// Scopes are cut here, at a whole scope: fewer are safe, a header too long for the proxy is not.
const MAX_SCOPES_LEN: usize = 2_000;

/// In the order of [`values`].
pub(super) const HEADERS: [&str; 9] = [
    "x-consumer-id",
    "x-consumer-custom-id",
    "x-consumer-username",
    "x-consumer-groups",
    "x-credential-identifier",
    "x-key-id",
    "x-key-env",
    "x-key-scopes",
    "x-doorbell-identity",
];

/// Writes every header; for nobody, all of them empty. Without a signer the last one is.
pub(super) fn write(headers: &mut HeaderMap, entry: Option<&Entry>, signer: Option<&AppState>) {
    let nothing = || std::array::from_fn(|_| HeaderValue::from_static(""));
    let values = entry.map_or_else(nothing, |entry| values(entry, signer));
    for (name, value) in HEADERS.into_iter().zip(values) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn values(entry: &Entry, signer: Option<&AppState>) -> [HeaderValue; HEADERS.len()] {
    let key = &entry.key;
    let owner = key.owner.as_deref().unwrap_or_default();
    let scopes = scopes(entry);
    let sign = |state: &AppState| state.passports.of(entry, &scopes, state.store.clock().now());
    let passport = signer.map_or(HeaderValue::from_static(""), sign);
    [
        text(key.app_id.as_ref().map_or("", |id| id.as_str())),
        text(owner),
        text(owner),
        text(&key.roles.join(", ")),
        text(key.id.as_str()),
        text(key.id.as_str()),
        text(&key.environment),
        text(&scopes),
        passport,
    ]
}

/// The scopes of the key and of its roles, with a space between.
pub(crate) fn scopes(entry: &Entry) -> String {
    let roles = entry.key.roles.iter().filter_map(|role| entry.keyspace.roles.get(role));
    let mut seen: Vec<&str> = Vec::new();
    let mut joined = String::new();
    for scope in entry.key.scopes.iter().chain(roles.flatten()) {
        if seen.contains(&scope.as_str()) {
            continue;
        }
        if joined.len() + scope.len() >= MAX_SCOPES_LEN {
            break;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(scope);
        seen.push(scope);
    }
    joined
}

/// What a header cannot hold is percent-encoded; the signed header has it as it is.
fn text(value: &str) -> HeaderValue {
    let mut safe = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b' '..=b'~' => safe.push(char::from(byte)),
            _ => safe.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::from_str(&safe).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_breaks_out_of_its_header() {
        assert_eq!(text("Open House, 7"), "Open House, 7");
        assert_eq!(text("a\r\nX-Key-Id: 1"), "a%0D%0AX-Key-Id: 1");
        assert_eq!(text("Zoë"), "Zo%C3%AB");
    }
}
