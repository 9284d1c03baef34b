//! A scripted endpoint: it records what reaches it, byte for byte, and answers as it is told.
//!
//! It listens on 127.0.0.1 and speaks HTTP/1.1 by hand, because it must be able to break every
//! rule of it. A script is consumed one [`Reply`] per request; when it is used up, the standing
//! reply answers. Tests wait for requests and for closed connections, never for time.

mod bomb;
mod http1;
mod http2;
mod reply;
mod tls;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

pub use bomb::{BOMB_INFLATED_BYTES, gzip_bomb};
pub use reply::Reply;
pub use tls::Tls;

/// The longest a test waits for something to arrive before it fails.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// One request, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// From 0, over all connections.
    pub number: usize,
    /// From 0, in the order of connecting.
    pub connection: usize,
    pub method: String,
    pub path: String,
    pub version: &'static str,
    /// In their order, with names as they were written.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    /// The first value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    root: Option<CertificateDer<'static>>,
    shared: Arc<Shared>,
    listening: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told after every change of the state.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    script: VecDeque<Reply>,
    always: Reply,
    requests: Vec<Received>,
    /// Requests that [`Receiver::next`] has given out.
    given: usize,
    connections: usize,
    open: usize,
    connection_tasks: Vec<AbortHandle>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    pub async fn start_tls(tls: Tls) -> Self {
        Self::listen(Some(tls)).await
    }

    async fn listen(tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap_or_else(|error| fail(&format!("cannot listen: {error}")));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| fail(&format!("no address: {error}")));
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                script: VecDeque::new(),
                always: Reply::status(204),
                requests: Vec::new(),
                given: 0,
                connections: 0,
                open: 0,
                connection_tasks: Vec::new(),
            }),
            changed: watch::Sender::new(()),
        });
        let (root, acceptor) = match tls.map(|tls| tls.build()) {
            Some((root, acceptor)) => (Some(root), Some(acceptor)),
            None => (None, None),
        };
        let listening = tokio::spawn(accept(listener, acceptor, shared.clone())).abort_handle();
        Self { address, root, shared, listening }
    }

    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.url_of("127.0.0.1", path)
    }

    /// The same by another host name, for tests that script DNS.
    #[must_use]
    pub fn url_of(&self, host: &str, path: &str) -> String {
        let scheme = if self.root.is_some() { "https" } else { "http" };
        format!("{scheme}://{host}:{}{path}", self.address.port())
    }

    /// The authority that signed this receiver's certificate.
    #[must_use]
    pub fn root(&self) -> Option<&CertificateDer<'static>> {
        self.root.as_ref()
    }

    /// Replies to come, one per request, after those already scripted.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.lock().script.extend(replies);
    }

    /// The reply when the script is used up; 204 at first.
    pub fn always(&self, reply: Reply) {
        self.shared.lock().always = reply;
    }

    /// The next request in the order of arrival that this method has not given out yet.
    pub async fn next(&self) -> Received {
        self.shared
            .until("another request", |state| {
                let request = state.requests.get(state.given)?.clone();
                state.given += 1;
                Some(request)
            })
            .await
    }

    /// Everything that has arrived, once that is at least `count` requests.
    pub async fn until_received(&self, count: usize) -> Vec<Received> {
        self.shared
            .until(&format!("{count} requests"), |state| {
                (state.requests.len() >= count).then(|| state.requests.clone())
            })
            .await
    }

    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared.lock().requests.clone()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Waits until every accepted connection is closed.
    pub async fn until_all_closed(&self) {
        self.shared
            .until("every connection to be closed", |state| (state.open == 0).then_some(()))
            .await;
    }

    /// Closes every connection, and goes on listening.
    pub fn drop_connections(&self) {
        for task in self.shared.lock().connection_tasks.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
        self.drop_connections();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        let found = tokio::time::timeout(WAIT_MAX, async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = look(&mut self.lock()) {
                    return found;
                }
                // The sender lives in self.
                let _ = changes.changed().await;
            }
        });
        found.await.unwrap_or_else(|_| fail(&format!("waited {WAIT_MAX:?} for {what}")))
    }

    /// Writes a request down and says how to answer it.
    async fn arrived(&self, request: Received) -> Reply {
        let reply = self.record(request);
        self.until("the other requests", |state| {
            (state.requests.len() >= reply.after).then_some(())
        })
        .await;
        reply
    }

    fn record(&self, mut request: Received) -> Reply {
        let mut state = self.lock();
        request.number = state.requests.len();
        state.requests.push(request);
        let reply = state.script.pop_front().unwrap_or_else(|| state.always.clone());
        drop(state);
        self.changed.send_replace(());
        reply
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = Connection::begin(shared.clone());
        let task = tokio::spawn(serve(stream, acceptor.clone(), connection)).abort_handle();
        shared.lock().connection_tasks.push(task);
    }
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, connection: Connection) {
    // Whatever a client does to us is the test's business, so errors only end the connection.
    let Some(acceptor) = acceptor else {
        let _ = http1::serve(stream, &connection).await;
        return;
    };
    let Ok(stream) = acceptor.accept(stream).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(tls::ALPN_HTTP2) {
        let _ = http2::serve(stream, connection).await;
    } else {
        let _ = http1::serve(stream, &connection).await;
    }
}

/// An accepted connection; counted as open as long as it lives.
struct Connection {
    shared: Arc<Shared>,
    number: usize,
}

impl Connection {
    fn begin(shared: Arc<Shared>) -> Self {
        let number = {
            let mut state = shared.lock();
            state.connections += 1;
            state.open += 1;
            state.connections - 1
        };
        shared.changed.send_replace(());
        Self { shared, number }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.lock().open -= 1;
        self.shared.changed.send_replace(());
    }
}

#[expect(clippy::panic, reason = "a test that waits in vain must fail loudly")]
fn fail(why: &str) -> ! {
    panic!("receiver: {why}")
}
