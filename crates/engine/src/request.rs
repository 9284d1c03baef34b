//! What is sent: the headers of one delivery, with its signatures.
//!
//! Everything that does not change from one delivery to the next is prepared once per revision
//! of a route and kept in a bounded cache.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use model::attempt::Headers;
use model::endpoint::Endpoint;
use model::message::DEFAULT_CONTENT_TYPE;
use model::signature::{self, Signer};
use model::{EndpointId, Timestamp, name};
use quick_cache::sync::Cache;
use store::{Lease, Route};
use url::Url;

use crate::http::Target;

/// Prepared endpoints kept in memory at the most.
const MAX_PREPARED: usize = 100_000;
const REDACTED: &str = "redacted";

/// Which names the three signature headers have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderStyle {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`, as Standard Webhooks says.
    #[default]
    Webhook,
    /// `svix-…`, for receivers that know no other.
    Svix,
    Both,
}

/// An endpoint made ready to be called.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub target: Target,
    /// What is the same in every request to it.
    headers: HeaderMap,
    body_signature: Option<HeaderName>,
}

#[derive(Debug)]
pub(crate) struct Requests {
    style: HeaderStyle,
    user_agent: HeaderValue,
    prepared: Cache<(EndpointId, u64), Arc<Prepared>>,
}

/// Id, timestamp and signature, by the names of both styles.
static STYLES: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("webhook-id"),
        HeaderName::from_static("webhook-timestamp"),
        HeaderName::from_static("webhook-signature"),
    ],
    [
        HeaderName::from_static("svix-id"),
        HeaderName::from_static("svix-timestamp"),
        HeaderName::from_static("svix-signature"),
    ],
];

impl Requests {
    pub fn new(style: HeaderStyle, user_agent: HeaderValue) -> Self {
        Self { style, user_agent, prepared: Cache::new(MAX_PREPARED) }
    }

    pub fn prepared(&self, route: &Route) -> Result<Arc<Prepared>, String> {
        let key = (route.endpoint.id, route.revision);
        self.prepared.get_or_insert_with(&key, || self.prepare(&route.endpoint).map(Arc::new))
    }

    pub fn prepare(&self, endpoint: &Endpoint) -> Result<Prepared, String> {
        let url: Url = endpoint.url.parse().map_err(|error| format!("the URL: {error}"))?;
        let target = Target::new(&url).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::with_capacity(endpoint.headers.len() + 8);
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(DEFAULT_CONTENT_TYPE));
        for (name, value) in &endpoint.headers {
            let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
            let (Ok(name), Ok(value)) = parsed else {
                return Err(format!("header {name:?} cannot be sent"));
            };
            headers.insert(name, value);
        }
        let body_signature = endpoint.body_signature.as_ref().map(|own| &own.header);
        let body_signature = body_signature
            .map(|name| HeaderName::try_from(name).map_err(|error| error.to_string()))
            .transpose()?;
        Ok(Prepared { target, headers, body_signature })
    }

    /// The headers of one attempt. The id stays over retries; the timestamp is the attempt's.
    pub fn headers(
        &self,
        lease: &Lease,
        prepared: &Prepared,
        payload: &[u8],
        now: Timestamp,
    ) -> HeaderMap {
        let id = lease.envelope.message_id;
        let signers = || lease.route.signers(now);
        let mut headers = self.signed(prepared, signers, id.as_str(), payload, now);
        if let Some(content_type) = &lease.envelope.content_type {
            insert(&mut headers, CONTENT_TYPE, content_type);
        }
        headers
    }

    /// The headers of a request that these sign, the newest first.
    pub fn signed<'a, I: Iterator<Item = &'a Signer>>(
        &self,
        prepared: &Prepared,
        signers: impl Fn() -> I,
        id: &str,
        payload: &[u8],
        now: Timestamp,
    ) -> HeaderMap {
        let mut headers = prepared.headers.clone();
        let seconds = now.seconds();
        let signature = signature::signature_header(signers(), id, seconds, payload);
        let values = [id, &seconds.to_string(), &signature];
        for names in self.names() {
            for (name, value) in names.iter().zip(values) {
                insert(&mut headers, name.clone(), value);
            }
        }
        if let Some(name) = &prepared.body_signature
            && let Some(value) = signers().find_map(|signer| signer.body_hmac_hex(payload))
        {
            insert(&mut headers, name.clone(), &value);
        }
        headers
    }

    fn names(&self) -> &'static [[HeaderName; 3]] {
        match self.style {
            HeaderStyle::Webhook => &STYLES[..1],
            HeaderStyle::Svix => &STYLES[1..],
            HeaderStyle::Both => &STYLES,
        }
    }
}

/// The headers as they are recorded: secrets are not.
pub(crate) fn shown(headers: &HeaderMap) -> Headers {
    let bytes = headers.iter().map(|(key, value)| key.as_str().len() + value.len()).sum();
    let mut shown = Headers::with_capacity(headers.len(), bytes);
    for (key, value) in headers {
        let hidden = name::is_sensitive_header(key.as_str());
        let value = if hidden { REDACTED } else { value.to_str().unwrap_or_default() };
        shown.push(key.as_str(), value);
    }
    shown
}

/// Values come from checked names and our own figures; one that cannot be sent is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
