//! HTTP/2 by hyper: recorded like the rest, with those replies that make sense there.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::reply::Act;
use super::{Connection, Received, Reply};

const CHUNK: Bytes = Bytes::from_static(&[b'e'; 16 * 1024]);

pub(super) async fn serve(
    stream: TlsStream<TcpStream>,
    connection: Connection,
) -> hyper::Result<()> {
    let connection = Arc::new(connection);
    let service = service_fn(move |request| answer(request, connection.clone()));
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(
    request: Request<Incoming>,
    connection: Arc<Connection>,
) -> io::Result<Response<ScriptedBody>> {
    let request = received(request, connection.number).await?;
    let reply = connection.shared.arrived(request).await;
    match reply.act {
        Act::Answer => respond(reply, None),
        Act::Endless => respond(reply, Some(CHUNK)),
        Act::Hang => std::future::pending().await,
        // hyper turns it into a reset of the stream.
        _ => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

async fn received(request: Request<Incoming>, connection: usize) -> io::Result<Received> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter();
    Ok(Received {
        number: 0,
        connection,
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        version: if parts.version == Version::HTTP_2 { "HTTP/2" } else { "?" },
        headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: body.to_vec(),
    })
}

fn respond(reply: Reply, forever: Option<Bytes>) -> io::Result<Response<ScriptedBody>> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let once = (!reply.body.is_empty()).then(|| Bytes::from(reply.body));
    response.body(ScriptedBody { once, forever }).map_err(io::Error::other)
}

/// Some bytes once, then others without end.
struct ScriptedBody {
    once: Option<Bytes>,
    forever: Option<Bytes>,
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = self.once.take().or_else(|| self.forever.clone());
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.once.is_none() && self.forever.is_none()
    }
}
