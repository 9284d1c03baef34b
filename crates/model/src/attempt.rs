//! An attempt: one HTTP try of a delivery, as it happened.

mod headers;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use headers::Headers;

use crate::delivery::Trigger;
use crate::{AppId, AttemptId, EndpointId, Timestamp};

/// Bytes of a response body that are kept.
pub const RESPONSE_KEPT_BYTES: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub id: AttemptId,
    pub app_id: AppId,
    pub endpoint_id: EndpointId,
    /// From 1.
    pub number: u32,
    pub trigger: Trigger,
    /// When it began.
    pub at: Timestamp,
    pub duration_ms: u32,
    /// None when no answer came.
    pub status_code: Option<u16>,
    /// None when the receiver answered 2xx.
    pub error: Option<ErrorKind>,
    pub response_body: Vec<u8>,
    pub detail: AttemptDetail,
}

impl Attempt {
    #[must_use]
    pub const fn succeeded(&self) -> bool {
        self.error.is_none()
    }
}

/// What is recorded beside the figures: stored as one JSON text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptDetail {
    pub url: String,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    pub request_headers: Headers,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    pub response_headers: Headers,
    /// The address that was dialled; none when it came to no dialling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What went wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The response was longer than what was kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub response_cut: bool,
    #[serde(skip_serializing_if = "Timing::is_empty")]
    pub timing: Timing,
}

/// Where the time went, in microseconds. A reused connection resolves and connects nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timing {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    /// From the request's last byte handed over to the response's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_us: Option<u64>,
}

impl Timing {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why an attempt failed. The codes are stored: never change one, only add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum ErrorKind {
    /// An answer came, and it was not 2xx.
    Status = 1,
    /// The name did not resolve.
    Dns = 2,
    /// The address or URL may not be called.
    TargetRefused = 3,
    /// The connection was refused or unreachable.
    Connect = 4,
    ConnectTimeout = 5,
    /// The TLS handshake failed.
    Tls = 6,
    /// No complete answer within the total time.
    Timeout = 7,
    /// The connection broke before the answer was complete.
    Reset = 8,
    /// What came back was not HTTP.
    Protocol = 9,
    /// The payload had been erased or had expired.
    PayloadGone = 10,
    /// Something went wrong on our side.
    Internal = 11,
}

impl ErrorKind {
    pub const ALL: [Self; 11] = [
        Self::Status,
        Self::Dns,
        Self::TargetRefused,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Protocol,
        Self::PayloadGone,
        Self::Internal,
    ];

    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Dns => "dns",
            Self::TargetRefused => "target_refused",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::PayloadGone => "payload_gone",
            Self::Internal => "internal",
        }
    }
}
