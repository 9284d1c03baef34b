//! The network as it is played: a request is put down, and answered when its time has come.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::Outgoing;
use engine::http::{Answer, Failure, Sent, Target};
use http::HeaderMap;
use model::Clock;
use model::attempt::{ErrorKind, Headers, Timing};
use tokio::sync::oneshot;

/// How a receiver answers.
#[derive(Clone, Debug)]
pub enum Reply {
    Status { status: u16, retry_after_s: Option<u64> },
    Lost(ErrorKind),
}

impl Reply {
    pub const fn status(status: u16) -> Self {
        Self::Status { status, retry_after_s: None }
    }

    /// What the judging must not undercut.
    pub const fn retry_after_ms(&self) -> u64 {
        match self {
            Self::Status { retry_after_s: Some(s), status: 300.. } => *s * 1_000,
            _ => 0,
        }
    }

    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Status { status: 200..=299, .. })
    }
}

/// Where one node's requests go.
#[derive(Clone, Debug)]
pub struct Network {
    clock: Clock,
    /// The request that the delivery in hand has just put down.
    parked: Arc<Mutex<Option<oneshot::Sender<Reply>>>>,
}

impl Network {
    pub fn new(clock: Clock) -> Self {
        Self { clock, parked: Arc::default() }
    }

    pub fn is_parked(&self) -> bool {
        self.parked.lock().unwrap().is_some()
    }

    pub fn take(&self) -> Option<oneshot::Sender<Reply>> {
        self.parked.lock().unwrap().take()
    }
}

impl Outgoing for Network {
    async fn send(&self, _target: &Target, _headers: HeaderMap, _body: Bytes) -> Sent {
        let at = self.clock.now();
        let (reply, replied) = oneshot::channel();
        *self.parked.lock().unwrap() = Some(reply);
        let answer = match replied.await.unwrap_or(Reply::Lost(ErrorKind::Internal)) {
            Reply::Status { status, retry_after_s } => {
                let mut headers = Headers::default();
                if let Some(seconds) = retry_after_s {
                    headers.push("retry-after", &seconds.to_string());
                }
                Ok(Answer { status, headers, body: Vec::new(), cut: false })
            }
            Reply::Lost(kind) => Err(Failure { kind, message: "played".to_owned(), partial: None }),
        };
        let took = self.clock.now().since_ms(at);
        let duration_ms = u32::try_from(took).unwrap_or(u32::MAX);
        Sent { at, duration_ms, answer, address: None, timing: Timing::default() }
    }
}
