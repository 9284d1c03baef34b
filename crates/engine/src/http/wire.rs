//! An open connection, and one exchange on it.
//!
//! An HTTP/1.1 connection belongs to one request at a time and is driven by the very task that
//! waits for the answer: nothing is spawned, nothing is handed between threads, and whoever drops
//! the request drops the socket. While it idles in the pool nobody drives it; the next request
//! sees first whether the receiver has closed it, gets its message back if so, and dials anew.
//!
//! An HTTP/2 connection is shared by many requests and driven by a task of its own, which ends
//! when the last of them has gone or the receiver stops answering pings.

use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Target;
use super::stream::Stream;
use super::target::Payload;

/// Longest header section of an answer, and the most read at once. hyper's own limit of 100
/// headers stays: naming another would cost an allocation per answer.
const READ_BUFFER_MAX_BYTES: usize = 64 * 1024;
const HTTP2_HEADERS_MAX_BYTES: u32 = 64 * 1024;
/// Requests under way on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: usize = 100;
/// Bytes of answers that may lie unread, per stream and per connection.
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection older than this is not used again, so that a receiver that moved is found.
const LIFE_MAX: Duration = Duration::from_secs(900);

type Connection = http1::Connection<TokioIo<Stream>, Payload>;
type Exchanged = Result<Response<Incoming>, TrySendError<Request<Payload>>>;

pub(super) struct Http1 {
    sender: http1::SendRequest<Payload>,
    /// None when it is over.
    connection: Option<Connection>,
    address: IpAddr,
    opened: Duration,
}

impl Http1 {
    pub async fn open(stream: Stream, address: IpAddr, opened: Duration) -> hyper::Result<Self> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BUFFER_MAX_BYTES)
            .max_header_size(READ_BUFFER_MAX_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self { sender, connection: Some(connection), address, opened })
    }

    /// Whether another request may follow.
    pub fn is_reusable(&self, now: Duration) -> bool {
        let age = now.saturating_sub(self.opened);
        self.connection.is_some() && self.sender.is_ready() && age < LIFE_MAX
    }

    /// Looks at the socket of an idle connection, without waiting.
    pub fn is_open(&mut self) -> bool {
        self.poll_connection(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some()
    }

    async fn request(&mut self, request: Request<Payload>) -> Exchanged {
        let answer = self.sender.try_send_request(request);
        self.drive(answer).await
    }

    /// Works on the connection until `waiting`, which depends on it, is done.
    async fn drive<F: Future>(&mut self, waiting: F) -> F::Output {
        let mut waiting = pin!(waiting);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = waiting.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            self.poll_connection(cx);
            waiting.as_mut().poll(cx)
        })
        .await
    }

    /// Its result is left to the request, which hyper tells; dropping it makes hyper tell.
    fn poll_connection(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }
}

pub(super) struct Http2 {
    sender: http2::SendRequest<Payload>,
    streams: Arc<Semaphore>,
    address: IpAddr,
}

impl Http2 {
    pub async fn open(stream: Stream, address: IpAddr) -> hyper::Result<Arc<Self>> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_header_list_size(HTTP2_HEADERS_MAX_BYTES)
            .keep_alive_interval(HTTP2_PING_EVERY)
            .keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "HTTP/2 connection ended");
            }
        });
        Ok(Arc::new(Self { sender, streams: Arc::new(Semaphore::new(HTTP2_STREAMS_MAX)), address }))
    }

    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

/// One request's hold on a connection.
pub(super) enum Wire {
    Http1(Box<Http1>),
    Http2 { shared: Arc<Http2>, _permit: Option<OwnedSemaphorePermit> },
}

impl Wire {
    pub fn http1(connection: Http1) -> Self {
        Self::Http1(Box::new(connection))
    }

    pub fn http2(shared: Arc<Http2>) -> Self {
        let permit = shared.streams.clone().try_acquire_owned().ok();
        Self::Http2 { shared, _permit: permit }
    }

    /// A share of a connection that is open and has room.
    pub fn of_shared(shared: &Arc<Http2>) -> Option<Self> {
        let permit = shared.streams.clone().try_acquire_owned().ok()?;
        shared.is_open().then(|| Self::Http2 { shared: shared.clone(), _permit: Some(permit) })
    }

    pub fn address(&self) -> IpAddr {
        match self {
            Self::Http1(connection) => connection.address,
            Self::Http2 { shared, .. } => shared.address,
        }
    }

    /// The error hands the request back when not a byte of it was written.
    pub async fn request(&mut self, target: &Target, headers: HeaderMap, body: Bytes) -> Exchanged {
        self.call(Method::POST, target, headers, body).await
    }

    /// As [`Wire::request`], with any method.
    pub async fn call(
        &mut self,
        method: Method,
        target: &Target,
        headers: HeaderMap,
        body: Bytes,
    ) -> Exchanged {
        match self {
            Self::Http1(connection) => {
                connection.request(target.http1_request(method, headers, body)).await
            }
            Self::Http2 { shared, .. } => {
                let mut sender = shared.sender.clone();
                sender.try_send_request(target.http2_request(method, headers, body)).await
            }
        }
    }

    pub async fn frame(&mut self, body: &mut Incoming) -> Option<hyper::Result<Frame<Bytes>>> {
        match self {
            Self::Http1(connection) => connection.drive(body.frame()).await,
            Self::Http2 { .. } => body.frame().await,
        }
    }
}
