//! What is published: JSON of a fixed size that carries the moment it was sent.
//!
//! The server hands payload bytes on unchanged, so the sink finds the moment where the driver put
//! it and neither of them keeps a table of send times.

/// The size of every message and of every floor post.
pub const PAYLOAD_BYTES: usize = 1024;
const HEAD: &str = r#"{"sent":"#;
const MIDDLE: &str = r#","pad":""#;
const TAIL: &str = r#""}"#;
/// A Unix time in nanoseconds has this many digits until the year 2286.
const SENT_DIGITS: usize = 19;
const PAD_BYTES: usize = PAYLOAD_BYTES - HEAD.len() - SENT_DIGITS - MIDDLE.len() - TAIL.len();

pub fn write(body: &mut String, sent_ns: u64) {
    use std::fmt::Write;
    body.push_str(HEAD);
    let _ = write!(body, "{sent_ns:019}");
    body.push_str(MIDDLE);
    body.extend(std::iter::repeat_n('x', PAD_BYTES));
    body.push_str(TAIL);
}

pub fn write_message(body: &mut String, sent_ns: u64) {
    body.push_str(r#"{"eventType":"bench.event","payload":"#);
    write(body, sent_ns);
    body.push('}');
}

/// The moment the payload was sent, or nothing when these are not the bytes that were published.
pub fn sent_ns(payload: &[u8]) -> Option<u64> {
    let (digits, rest) = payload.strip_prefix(HEAD.as_bytes())?.split_at_checked(SENT_DIGITS)?;
    let pad = rest.strip_prefix(MIDDLE.as_bytes())?.strip_suffix(TAIL.as_bytes())?;
    if pad.len() != PAD_BYTES || pad.iter().any(|byte| *byte != b'x') {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_size_and_gives_back_the_moment() {
        let mut payload = String::new();
        write(&mut payload, 1_790_000_000_123_456_789);
        assert_eq!(payload.len(), PAYLOAD_BYTES);
        assert_eq!(sent_ns(payload.as_bytes()), Some(1_790_000_000_123_456_789));
        assert!(serde_json::from_str::<serde_json::Value>(&payload).is_ok());
        assert_eq!(sent_ns(br#"{ "sent": 12}"#), None);
        assert_eq!(sent_ns(payload.replace("xx\"", "xy\"").as_bytes()), None);
        assert_eq!(sent_ns(payload.replace("xx", "x").as_bytes()), None);
    }

    #[test]
    fn a_message_is_json() {
        let mut message = String::new();
        write_message(&mut message, 1_790_000_000_123_456_789);
        let value: Result<serde_json::Value, _> = serde_json::from_str(&message);
        assert!(value.is_ok_and(|value| value["eventType"] == "bench.event"));
    }
}
