//! How the API gets something from another server. It opens no connections itself: whoever
//! assembles the process gives it a way to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::{Request, Response};
use bytes::Bytes;

type Fetching = Pin<Box<dyn Future<Output = Result<Response<Bytes>, String>> + Send>>;

/// Makes one request to the absolute URL that it names, within a time limit of its own.
#[derive(Clone)]
pub struct Fetch(Arc<dyn Fn(Request<Bytes>) -> Fetching + Send + Sync>);

impl Fetch {
    pub fn new<F, W>(work: F) -> Self
    where
        F: Fn(Request<Bytes>) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Response<Bytes>, String>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(work(request))))
    }

    pub(super) fn send(&self, request: Request<Bytes>) -> Fetching {
        (self.0)(request)
    }
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetch")
    }
}
