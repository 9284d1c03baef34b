//! An attempt as it is answered.

use std::collections::BTreeMap;

use model::attempt::{Attempt, Headers, Timing};
use serde::Serialize;
use utoipa::ToSchema;

use crate::messages::MessageOut;
use crate::status::Status;
use crate::wire::Moment;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptOut {
    pub id: String,
    pub msg_id: String,
    pub endpoint_id: String,
    pub delivery_id: String,
    /// From 1.
    pub number: u32,
    pub url: String,
    pub status: Status,
    pub status_text: &'static str,
    /// 0 by a published message, 1 by hand: a resend or a replay.
    pub trigger_type: i16,
    /// The response's body as text; empty once erased.
    pub response: String,
    /// The response was longer than what is kept.
    pub response_cut: bool,
    /// 0 when no answer came.
    pub response_status_code: u16,
    pub response_duration_ms: u32,
    pub timestamp: Moment,
    /// Why it failed, for instance `status`, `timeout` or `dns`.
    pub error_kind: Option<&'static str>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// As they were sent; secrets are blacked out.
    pub request_headers: BTreeMap<String, String>,
    pub response_headers: BTreeMap<String, String>,
    /// The address that was dialled.
    pub address: Option<String>,
    pub timing: TimingOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg: Option<MessageOut>,
}

/// Where the time went, in microseconds. A reused connection resolves and connects nothing.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimingOut {
    pub resolve_us: Option<u64>,
    pub connect_us: Option<u64>,
    pub tls_us: Option<u64>,
    /// From the request's last byte to the response's first.
    pub first_byte_us: Option<u64>,
    pub total_us: Option<u64>,
}

impl From<Timing> for TimingOut {
    fn from(timing: Timing) -> Self {
        Self {
            resolve_us: timing.resolve_us,
            connect_us: timing.connect_us,
            tls_us: timing.tls_us,
            first_byte_us: timing.first_byte_us,
            total_us: timing.total_us,
        }
    }
}

impl AttemptOut {
    pub fn new(attempt: Attempt, msg: Option<MessageOut>, with_content: bool) -> Self {
        let status = Status::of_attempt(&attempt);
        let detail = attempt.detail;
        let response = if with_content {
            String::from_utf8_lossy(&attempt.response_body).into_owned()
        } else {
            String::new()
        };
        Self {
            msg_id: attempt.id.message_id().to_string(),
            delivery_id: attempt.id.delivery_id().to_string(),
            id: attempt.id.to_string(),
            endpoint_id: attempt.endpoint_id.to_string(),
            number: attempt.number,
            url: detail.url,
            status,
            status_text: status.text(),
            trigger_type: attempt.trigger.code(),
            response,
            response_cut: detail.response_cut,
            response_status_code: attempt.status_code.unwrap_or(0),
            response_duration_ms: attempt.duration_ms,
            timestamp: Moment(attempt.at),
            error_kind: attempt.error.map(|kind| kind.as_str()),
            error: detail.error,
            request_headers: by_name(&detail.request_headers),
            response_headers: by_name(&detail.response_headers),
            address: detail.address.map(|address| address.to_string()),
            timing: detail.timing.into(),
            msg,
        }
    }
}

/// Headers that came several times are joined, as HTTP reads them.
fn by_name(headers: &Headers) -> BTreeMap<String, String> {
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers.iter() {
        by_name
            .entry(name.to_owned())
            .and_modify(|values| {
                values.push_str(", ");
                values.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    by_name
}
