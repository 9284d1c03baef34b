//! A message: one event, published once into an app, with immutable payload bytes.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use crate::{AppId, MessageId, Timestamp};

pub const DEFAULT_CONTENT_TYPE: &str = "application/json";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub app_id: AppId,
    pub event_type: String,
    /// The publisher's own id; unique within the app.
    pub event_id: Option<String>,
    /// Exactly the bytes that were published; none once erased or expired.
    pub payload: Option<Bytes>,
    /// When not [`DEFAULT_CONTENT_TYPE`].
    pub content_type: Option<String>,
    pub channels: Vec<String>,
    pub tags: Vec<String>,
    pub deliver_at: Option<Timestamp>,
    pub outcome: Outcome,
    pub created_at: Timestamp,
    /// When the payload is erased; by the instance's retention if none.
    pub payload_expires_at: Option<Timestamp>,
    /// The message that this one was made of, for one endpoint.
    pub replay_of: Option<MessageId>,
    /// Its payload is not that message's.
    pub changed: bool,
}

/// What publishing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Outcome {
    /// At least one delivery was made.
    FannedOut = 0,
    /// No endpoint wanted it.
    NoMatch = 1,
    /// Every endpoint that wanted it was disabled.
    AllDisabled = 2,
}

impl Outcome {
    #[must_use]
    pub const fn from_code(code: i16) -> Self {
        match code {
            1 => Self::NoMatch,
            2 => Self::AllDisabled,
            _ => Self::FannedOut,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FannedOut => "fanned_out",
            Self::NoMatch => "no_match",
            Self::AllDisabled => "all_disabled",
        }
    }
}

/// What is stored of an `Idempotency-Key`: one text per app and key, whatever the key's length.
#[must_use]
pub fn idempotency_digest(app: &AppId, key: &str) -> String {
    let text = format!("{app}\n{key}");
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16])
}
