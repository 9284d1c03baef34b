//! The sink's process: its three listeners and the hooks.

use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::signature::Signed;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

use super::control;
use super::lane::{Arrival, Verdict};
use super::lanes::Lanes;
use super::signatures::Signatures;
use crate::Outcome;
use crate::measure::unix_nanos;

const BACKLOG: u32 = 4_096;

/// The first and only line that the sink prints.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Ports {
    pub answering: u16,
    pub hanging: u16,
    pub refusing: u16,
}

pub struct State {
    lanes: Mutex<Lanes>,
    signatures: Mutex<Signatures>,
    /// Wakes the one control call that waits for an arrival
    pub arrived: Notify,
    /// Bound and not listening, so that the port is ours and refuses, until it is opened
    refusing: Mutex<Option<TcpSocket>>,
}

impl State {
    pub fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn signatures(&self) -> MutexGuard<'_, Signatures> {
        self.signatures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open_refusing_port(self: &Arc<Self>) -> Outcome<()> {
        let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = refusing.take().ok_or("the port is open already")?;
        tokio::spawn(answer_all(socket.listen(BACKLOG)?, Arc::clone(self)));
        Ok(())
    }
}

pub async fn serve() -> Outcome<()> {
    let answering = bound_socket()?.listen(BACKLOG)?;
    let hanging = bound_socket()?.listen(BACKLOG)?;
    let refusing = bound_socket()?;
    let ports = Ports {
        answering: answering.local_addr()?.port(),
        hanging: hanging.local_addr()?.port(),
        refusing: refusing.local_addr()?.port(),
    };
    println!("{}", serde_json::to_string(&ports)?);
    std::thread::spawn(exit_with_the_driver);
    let state = Arc::new(State {
        lanes: Mutex::default(),
        signatures: Mutex::default(),
        arrived: Notify::new(),
        refusing: Mutex::new(Some(refusing)),
    });
    tokio::spawn(hang_all(hanging, Arc::clone(&state)));
    answer_all(answering, state).await
}

fn bound_socket() -> Outcome<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket)
}

fn exit_with_the_driver() {
    let mut byte = [0];
    while matches!(std::io::stdin().read(&mut byte), Ok(1)) {}
    std::process::exit(0);
}

async fn answer_all(listener: TcpListener, state: Arc<State>) -> Outcome<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let state = Arc::clone(&state);
        let generation = state.lanes().generation();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &state, generation));
            // A peer that was killed ends its connection in the middle; that is its right.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: &Arc<State>,
    generation: u64,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let mut path = head.uri.path().splitn(4, '/').skip(1);
    let response = match (path.next(), path.next(), path.next()) {
        (Some("floor"), ..) => status(StatusCode::OK),
        (Some("hook"), Some(lane), fail_percent) => {
            let Some(message_id) = head.headers.get("webhook-id").and_then(|id| id.to_str().ok())
            else {
                return Ok(status(StatusCode::BAD_REQUEST));
            };
            verify(&head.headers, lane, &body, state);
            let arrival = Arrival {
                lane,
                message_id,
                body: &body,
                fail_percent: fail_percent.and_then(|percent| percent.parse().ok()).unwrap_or(0),
                generation,
                now_ns: unix_nanos(),
            };
            hook(&arrival, state)
        }
        (Some("control"), Some(command), argument) => {
            control::obey(command, argument.unwrap_or_default(), &body, state).await
        }
        _ => status(StatusCode::NOT_FOUND),
    };
    Ok(response)
}

/// Has the lane's receivers look at the signature, if it has any.
fn verify(headers: &HeaderMap, lane: &str, body: &[u8], state: &State) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = Signed {
        id: header("webhook-id").unwrap_or_default(),
        timestamp: header("webhook-timestamp").unwrap_or_default(),
        signature: header("webhook-signature").unwrap_or_default(),
        body,
    };
    let now_ms = i64::try_from(unix_nanos() / 1_000_000).unwrap_or(i64::MAX);
    state.signatures().arrive(lane, signed, now_ms);
}

fn hook(arrival: &Arrival<'_>, state: &State) -> Response<Full<Bytes>> {
    let (verdict, awaited) = state.lanes().arrive(arrival);
    if awaited {
        state.arrived.notify_one();
    }
    match verdict {
        Verdict::Answered => status(StatusCode::OK),
        Verdict::Failed => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

pub fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}

async fn hang_all(listener: TcpListener, state: Arc<State>) -> Outcome<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(hang(stream, Arc::clone(&state)));
    }
}

/// Reads whatever comes and never answers, until the caller gives up.
async fn hang(mut stream: TcpStream, state: Arc<State>) {
    state.lanes().hanging += 1;
    let mut ignored = [0; 4096];
    while matches!(stream.read(&mut ignored).await, Ok(1..)) {}
    state.lanes().hanging -= 1;
}
