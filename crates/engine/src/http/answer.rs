//! What came back, as much of it as is kept, and what became of the attempt.
//!
//! The body is read to the cap and not a byte of it is interpreted, so a compressed bomb is only
//! its own few bytes and an endless body ends at the cap. Whatever was read before something broke
//! is kept too: half an answer often explains the failure.

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use http::response::Parts;
use hyper::body::{Body, Incoming};
use model::Timestamp;
use model::attempt::{ErrorKind, Headers, RESPONSE_KEPT_BYTES, Timing};

use super::pool::IDLE_AGE_MAX;
use super::wire::Wire;

/// Names and values of response headers kept, in bytes; those that no longer fit are left out.
pub const RESPONSE_HEADERS_KEPT_BYTES: usize = 16 * 1024;

/// One attempt, as it happened.
#[derive(Debug)]
pub struct Sent {
    pub at: Timestamp,
    pub duration_ms: u32,
    pub answer: Result<Answer, Failure>,
    /// The address that was dialled; none when it came to no dialling.
    pub address: Option<IpAddr>,
    pub timing: Timing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
    /// The body was longer than what was kept.
    pub cut: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
    /// What had come when it broke; none when not even a status line had.
    pub partial: Option<Answer>,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), partial: None }
    }
}

/// What an attempt has seen so far. It outlives the attempt's future, which a deadline may drop.
#[derive(Default)]
pub(super) struct Trace {
    pub address: Option<IpAddr>,
    pub timing: Timing,
    pub answer: Option<Answer>,
}

impl Answer {
    pub(super) fn begin(parts: Parts) -> Self {
        Self {
            status: parts.status.as_u16(),
            headers: kept_headers(&parts.headers),
            body: Vec::new(),
            cut: false,
        }
    }

    /// Reads to the end or to the cap, whichever comes first.
    pub(super) async fn read(&mut self, wire: &mut Wire, mut body: Incoming) -> hyper::Result<()> {
        while !body.is_end_stream() {
            let Some(frame) = wire.frame(&mut body).await else { return Ok(()) };
            let Ok(bytes) = frame?.into_data() else { continue };
            let room = RESPONSE_KEPT_BYTES - self.body.len();
            self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if bytes.len() > room {
                self.cut = true;
                return Ok(());
            }
        }
        Ok(())
    }
}

/// How long the connection may rest. A receiver that names its own limit (`Keep-Alive: timeout=5`)
/// is left a second early: a request that meets the closing half way could not be sent again.
pub(super) fn rest_max(headers: &HeaderMap) -> Duration {
    const MARGIN: Duration = Duration::from_secs(1);
    let named = headers.get("keep-alive").and_then(|value| value.to_str().ok());
    let timeout = named.and_then(|value| {
        let seconds = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
        seconds.parse().ok().map(Duration::from_secs)
    });
    timeout.map_or(IDLE_AGE_MAX, |timeout| timeout.saturating_sub(MARGIN).min(IDLE_AGE_MAX))
}

fn kept_headers(headers: &HeaderMap) -> Headers {
    let mut room = RESPONSE_HEADERS_KEPT_BYTES;
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let mut kept = Headers::with_capacity(headers.len(), bytes.min(room));
    for (name, value) in headers {
        let Some(left) = room.checked_sub(name.as_str().len() + value.len()) else { continue };
        room = left;
        kept.push(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
    }
    kept
}
