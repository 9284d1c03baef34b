//! The way out of this process. A server has one, [`HttpClient`]; a simulation of the engine
//! answers for the receivers itself.

use std::future::Future;

use bytes::Bytes;
use http::HeaderMap;

use crate::http::{HttpClient, Sent, Target};

pub trait Outgoing: Send + Sync + 'static {
    /// Posts `body` once.
    fn send(
        &self,
        target: &Target,
        headers: HeaderMap,
        body: Bytes,
    ) -> impl Future<Output = Sent> + Send;
}

impl Outgoing for HttpClient {
    fn send(
        &self,
        target: &Target,
        headers: HeaderMap,
        body: Bytes,
    ) -> impl Future<Output = Sent> + Send {
        Self::send(self, target, headers, body)
    }
}
