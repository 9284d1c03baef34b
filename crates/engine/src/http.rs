//! The outgoing HTTP client: the only place that names hyper's client.
//!
//! The engine prepares a [`Target`] per endpoint and hands a request over to [`HttpClient::send`],
//! which answers with everything that is recorded of an attempt. Inside, a request takes an open
//! connection from the `pool` or has `connect` open one (`resolve`, judge, dial, `tls`), makes one
//! exchange on it (`wire`), keeps what came back (`answer`), and puts the connection to rest.
//!
//! What must always hold: a refused address is never dialled; one deadline covers everything from
//! resolving to the last byte; a request that may have reached the receiver is never sent again;
//! redirects are answers, never followed; and no receiver, whatever it sends, makes us hold more
//! than the named maxima. Proxy variables of the environment are not looked at.

mod answer;
mod connect;
mod fault;
mod fetch;
mod pool;
mod resolve;
mod stream;
mod target;
mod tls;
mod wire;

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use model::Clock;
use model::attempt::ErrorKind;
use model::target::TargetPolicy;

use answer::Trace;
pub use answer::{Answer, Failure, RESPONSE_HEADERS_KEPT_BYTES, Sent};
use connect::Dialer;
use fault::human;
pub use fetch::FETCHED_MAX_BYTES;
use pool::Pool;
pub use pool::{IDLE_AGE_MAX, IDLE_PER_ORIGIN_MAX, IDLE_TOTAL_MAX};
pub use resolve::Resolver;
pub use target::{BadTarget, Target};
pub use tls::Roots;
use wire::Wire;

/// Pooled connections found closed in one attempt before a new one is dialled.
const STALE_MAX: usize = 3;

#[derive(Debug)]
pub struct HttpOptions {
    pub policy: TargetPolicy,
    /// To dial and shake hands.
    pub connect_timeout_ms: u64,
    /// From resolving to the last byte of the answer.
    pub timeout_ms: u64,
    pub resolver: Resolver,
    pub roots: Roots,
    pub http2: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("the name servers cannot be read: {0}")]
    Resolver(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the trusted certificates cannot be used: {0}")]
    Roots(String),
}

pub struct HttpClient {
    dialer: Dialer,
    pool: Pool,
    timeout: Duration,
    clock: Clock,
}

impl HttpClient {
    pub fn new(options: HttpOptions, clock: Clock) -> Result<Self, SetupError> {
        let dialer = Dialer {
            policy: options.policy,
            resolver: options.resolver,
            tls: tls::connector(&options.roots, options.http2)?,
            timeout: Duration::from_millis(options.connect_timeout_ms),
            clock: clock.clone(),
        };
        let timeout = Duration::from_millis(options.timeout_ms);
        Ok(Self { dialer, pool: Pool::new(), timeout, clock })
    }

    /// Posts `body` once. Dropping the future drops the connection.
    pub async fn send(&self, target: &Target, headers: HeaderMap, body: Bytes) -> Sent {
        let at = self.clock.now();
        let started = self.clock.elapsed();
        let mut trace = Trace::default();
        let outcome = {
            // Pinned here, so that the timeout holds a pointer and not a second copy of its size.
            let exchange = pin!(self.exchange(target, headers, body, &mut trace));
            tokio::time::timeout(self.timeout, exchange).await
        };
        let outcome = outcome.unwrap_or_else(|_| Err(self.too_slow(&trace)));
        let took = self.clock.elapsed().saturating_sub(started);
        trace.timing.total_us = Some(micros(took));
        let Trace { address, timing, answer } = trace;
        let answer = match (outcome, answer) {
            (Ok(()), Some(answer)) => Ok(answer),
            (Ok(()), None) => Err(Failure::new(ErrorKind::Internal, "the answer was lost")),
            (Err(failure), partial) => Err(Failure { partial, ..failure }),
        };
        let duration_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        Sent { at, duration_ms, answer, address, timing }
    }

    /// Closes what has rested too long or was closed by the receiver. To be called every few
    /// seconds: an idle connection is looked at only then and when it is used.
    pub fn close_idle(&self) {
        self.pool.close_idle(self.clock.elapsed());
    }

    /// Connections in the pool.
    pub fn pooled(&self) -> usize {
        self.pool.len()
    }

    async fn exchange(
        &self,
        target: &Target,
        headers: HeaderMap,
        body: Bytes,
        trace: &mut Trace,
    ) -> Result<(), Failure> {
        let mut headers = target.dress(headers, body.len());
        for _ in 0..STALE_MAX {
            let Some(wire) = self.pool.take(target, self.clock.elapsed()) else { break };
            trace.address = Some(wire.address());
            match self.exchange_on(wire, target, headers, &body, trace).await {
                Ok(()) => return Ok(()),
                Err(Broken { unsent: Some(unsent), .. }) => headers = unsent,
                Err(broken) => return Err(broken.failure),
            }
        }
        trace.address = None;
        // Boxed, for it is large and rare.
        let wire = Box::pin(self.dialer.open(target, trace)).await?;
        let wire = self.pool.share(target, wire, self.clock.elapsed());
        let exchanged = self.exchange_on(wire, target, headers, &body, trace).await;
        exchanged.map_err(|broken| broken.failure)
    }

    async fn exchange_on(
        &self,
        mut wire: Wire,
        target: &Target,
        headers: HeaderMap,
        body: &Bytes,
        trace: &mut Trace,
    ) -> Result<(), Broken> {
        let started = self.clock.elapsed();
        let response = match wire.request(target, headers, body.clone()).await {
            Ok(response) => response,
            Err(mut refused) => {
                let unsent = refused.take_message();
                return Err(Broken {
                    failure: fault::exchange(refused.error()),
                    unsent: unsent.map(|request| request.into_parts().0.headers),
                });
            }
        };
        let first_byte = self.clock.elapsed().saturating_sub(started);
        trace.timing.first_byte_us = Some(micros(first_byte));
        let (parts, incoming) = response.into_parts();
        let rest_max = answer::rest_max(&parts.headers);
        let answer = trace.answer.insert(Answer::begin(parts));
        let read = answer.read(&mut wire, incoming).await;
        read.map_err(|error| Broken { failure: fault::exchange(&error), unsent: None })?;
        if !answer.cut {
            self.pool.put(target, wire, self.clock.elapsed(), rest_max);
        }
        Ok(())
    }

    fn too_slow(&self, trace: &Trace) -> Failure {
        let limit = human(self.timeout);
        let message = match trace.answer {
            Some(_) => format!("the answer was not complete within {limit}"),
            None => format!("no answer within {limit}"),
        };
        Failure::new(ErrorKind::Timeout, message)
    }
}

/// An exchange that failed.
struct Broken {
    failure: Failure,
    /// The headers, handed back when nothing was written: it may be tried on another connection.
    unsent: Option<HeaderMap>,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("pooled", &self.pooled()).finish_non_exhaustive()
    }
}
