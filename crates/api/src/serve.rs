//! Our own accept loop: connection cap, slow-header timeout, TLS, graceful drain.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::access::Peer;

/// After an accept that failed, for instance because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

pub struct ServeOptions {
    pub max_connections: usize,
    pub header_timeout_ms: u64,
    /// Our certificate, if the listener speaks TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// How long requests under way may take once `shutdown` is true.
    pub drain_ms: u64,
}

/// Serves until `shutdown` turns true, then finishes the requests under way.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(options.header_timeout_ms))
        .pipeline_flush(true);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
    let server = Server {
        builder: Arc::new(builder),
        router,
        tls: options.tls.map(TlsAcceptor::from),
        graceful: GracefulShutdown::new(),
    };
    let slots = Arc::new(Semaphore::new(options.max_connections));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = stopped(&mut shutdown) => break,
        };
        match accepted {
            Ok((stream, peer, slot)) => server.spawn(stream, Peer(peer), slot),
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drain = Duration::from_millis(options.drain_ms);
    if tokio::time::timeout(drain, server.graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were cut off at shutdown");
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = shutdown.wait_for(|shutdown| *shutdown).await;
}

type Slot = tokio::sync::OwnedSemaphorePermit;

/// Accepts when there is a free slot, so that the next connection waits in the kernel.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, Slot)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, address, slot))
}

struct Server {
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    tls: Option<TlsAcceptor>,
    graceful: GracefulShutdown,
}

impl Server {
    fn spawn(&self, stream: TcpStream, peer: Peer, slot: Slot) {
        let (builder, router) = (self.builder.clone(), self.router.clone());
        let watcher = self.graceful.watcher();
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let _slot = slot;
            match tls {
                None => serve_connection(&builder, router, stream, peer, watcher).await,
                Some(tls) => match tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        serve_connection(&builder, router, stream, peer, watcher).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                },
            }
        });
    }
}

async fn serve_connection(
    builder: &auto::Builder<TokioExecutor>,
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let service = hyper::service::service_fn(move |request| answer(router.clone(), peer, request));
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(
    router: Router,
    peer: Peer,
    mut request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(peer);
    strip_slash(&mut request);
    router.oneshot(request.map(axum::body::Body::new)).await
}

/// Old clients end their paths with a slash; the routes know one form.
fn strip_slash<B>(request: &mut hyper::Request<B>) {
    let path = request.uri().path();
    if path.len() <= 1 || !path.ends_with('/') || !path.starts_with("/api/") {
        return;
    }
    // What follows here is the path of somebody else's client, whose query says nothing to us.
    if path.starts_with(crate::authorize::PREFIX) {
        return;
    }
    let path = path.trim_end_matches('/');
    let text = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if let Ok(uri) = text.parse() {
        *request.uri_mut() = uri;
    }
}
