//! What users may call things: uids, event types, channels, tags, headers, metadata.

use std::collections::{BTreeMap, BTreeSet};

/// Why a name was refused; the text tells the caller what a good one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("must be 1 to {max} characters of A-Z a-z 0-9 . _ -, got {got:?}")]
    Characters { max: usize, got: String },
    #[error("must not begin with {0:?}: that is how generated ids begin")]
    ReservedPrefix(&'static str),
    #[error("must have 1 to {max} entries, got {got}")]
    Count { max: usize, got: usize },
    #[error("must be at most {max} bytes, got {got}")]
    TooLong { max: usize, got: usize },
    #[error("must not contain the character NUL")]
    Nul,
    #[error("header {0:?} is given twice; upper and lower case are the same")]
    HeaderTwice(String),
    #[error(
        "header name {0:?} is not allowed: use letters, digits and -, and none that the delivery itself sets"
    )]
    HeaderName(String),
    #[error("the value of header {0:?} has characters that no header may carry")]
    HeaderValue(String),
}

pub const MAX_NAME_LEN: usize = 256;
pub const MAX_CHANNEL_LEN: usize = 128;
pub const MAX_MESSAGE_CHANNELS: usize = 5;
pub const MAX_ENDPOINT_CHANNELS: usize = 10;
pub const MAX_EVENT_TYPES_PER_ENDPOINT: usize = 1_000;
pub const MAX_TAGS: usize = 8;
pub const MAX_METADATA_BYTES: usize = 4_096;
pub const MAX_HEADERS: usize = 32;
pub const MAX_HEADER_VALUE_LEN: usize = 4_096;
pub const MAX_TEXT_LEN: usize = 4_096;

/// # Errors
/// When a character or the length is not allowed.
pub fn check_name(name: &str, max: usize) -> Result<(), BadName> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > max || !name.bytes().all(good) {
        let got = name.chars().take(64).collect();
        return Err(BadName::Characters { max, got });
    }
    Ok(())
}

/// A uid is a name that cannot be mistaken for a generated id.
///
/// # Errors
/// As [`check_name`], or when it begins with the id's prefix.
pub fn check_uid(uid: &str, id_prefix: &'static str) -> Result<(), BadName> {
    check_name(uid, MAX_NAME_LEN)?;
    if uid.starts_with(id_prefix) {
        return Err(BadName::ReservedPrefix(id_prefix));
    }
    Ok(())
}

/// # Errors
/// When the list is empty, too long, or holds a bad name.
pub fn check_channels(channels: &[String], max_count: usize) -> Result<(), BadName> {
    check_list(channels, max_count, MAX_CHANNEL_LEN)
}

/// # Errors
/// When the list is empty, too long, or holds a bad name.
pub fn check_tags(tags: &[String]) -> Result<(), BadName> {
    check_list(tags, MAX_TAGS, MAX_CHANNEL_LEN)
}

fn check_list(names: &[String], max: usize, max_len: usize) -> Result<(), BadName> {
    if names.is_empty() || names.len() > max {
        return Err(BadName::Count { max, got: names.len() });
    }
    names.iter().try_for_each(|name| check_name(name, max_len))
}

/// # Errors
/// When the text is longer than [`MAX_TEXT_LEN`], or has what PostgreSQL cannot keep as text.
pub fn check_text(text: &str) -> Result<(), BadName> {
    check_no_nul(text)?;
    check_len(text.len(), MAX_TEXT_LEN)
}

/// # Errors
/// When keys and values together exceed [`MAX_METADATA_BYTES`].
pub fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), BadName> {
    for (key, value) in metadata {
        check_no_nul(key)?;
        check_no_nul(value)?;
    }
    check_len(metadata.iter().map(|(key, value)| key.len() + value.len()).sum(), MAX_METADATA_BYTES)
}

fn check_no_nul(text: &str) -> Result<(), BadName> {
    if text.contains('\0') { Err(BadName::Nul) } else { Ok(()) }
}

const fn check_len(got: usize, max: usize) -> Result<(), BadName> {
    if got > max { Err(BadName::TooLong { max, got }) } else { Ok(()) }
}

/// Headers that the delivery itself sets or that would change how it is framed.
const OWN_HEADERS: [&str; 17] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];
const OWN_HEADER_PREFIXES: [&str; 3] = ["webhook-", "svix-", "doorbell-"];

/// Checks the custom headers of an endpoint.
///
/// # Errors
/// When there are too many, or a name or value could change the request's framing or its
/// signature.
pub fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), BadName> {
    if headers.len() > MAX_HEADERS {
        return Err(BadName::Count { max: MAX_HEADERS, got: headers.len() });
    }
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        check_header_name(name)?;
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(BadName::HeaderTwice(name.clone()));
        }
        check_len(value.len(), MAX_HEADER_VALUE_LEN)?;
        if !value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
            return Err(BadName::HeaderValue(name.clone()));
        }
    }
    Ok(())
}

/// # Errors
/// When the name is not a token or is one of those that the delivery itself sets.
pub fn check_header_name(name: &str) -> Result<(), BadName> {
    let token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let lower = name.to_ascii_lowercase();
    let own = OWN_HEADERS.contains(&lower.as_str())
        || OWN_HEADER_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    if name.is_empty() || name.len() > MAX_CHANNEL_LEN || own || !name.bytes().all(token) {
        return Err(BadName::HeaderName(name.chars().take(64).collect()));
    }
    Ok(())
}

const SENSITIVE: [&str; 6] =
    ["authorization", "cookie", "x-api-key", "api-key", "x-auth-token", "x-access-token"];

/// Whether the value of this header is hidden when it is read back.
#[must_use]
pub fn is_sensitive_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    SENSITIVE.contains(&lower.as_str())
        || ["secret", "password", "token"].iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_names_that_are_not_ids() {
        assert_eq!(check_uid("customer-1.eu", "app_"), Ok(()));
        assert!(check_uid("app_1", "app_").is_err());
        assert!(check_uid("", "app_").is_err());
        assert!(check_uid("a b", "app_").is_err());
        assert!(check_uid(&"x".repeat(257), "app_").is_err());
    }

    #[test]
    fn texts_are_what_both_databases_can_keep() {
        assert_eq!(check_text("Zoë 🦉"), Ok(()));
        assert_eq!(check_text("a\0b"), Err(BadName::Nul));
        let metadata = BTreeMap::from([("a".to_owned(), "\0".to_owned())]);
        assert_eq!(check_metadata(&metadata), Err(BadName::Nul));
    }

    #[test]
    fn headers_cannot_reframe_or_resign_a_request() {
        let header = |name: &str, value: &str| {
            check_headers(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        assert_eq!(header("X-Tenant", "7"), Ok(()));
        for name in ["Host", "content-Length", "Webhook-Id", "svix-signature", "a b", "x\r\ny", ""]
        {
            assert!(header(name, "1").is_err(), "{name:?}");
        }
        let twice = [("X-A", "1"), ("x-a", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert!(check_headers(&BTreeMap::from(twice)).is_err());
        for value in ["a\r\nb", "a\0b", "caf\u{e9}", "\u{7f}"] {
            assert!(header("X-Tenant", value).is_err(), "{value:?}");
        }
    }
}
