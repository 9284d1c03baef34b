//! The outgoing client against a receiver that answers well, badly, or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod answers;
mod failures;
mod http2;
mod reuse;
mod targets;
mod tls;

use bytes::Bytes;
use engine::http::{Answer, Failure, HttpClient, HttpOptions, Resolver, Roots, Sent, Target};
use http::{HeaderMap, HeaderValue};
use model::Clock;
use testkit::receiver::Receiver;
use url::Url;

/// Loopback allowed, no name resolves, time enough for a loaded machine.
fn options() -> HttpOptions {
    HttpOptions {
        policy: "127.0.0.0/8".parse().unwrap(),
        connect_timeout_ms: 10_000,
        timeout_ms: 20_000,
        resolver: Resolver::fixed(|_| Vec::new()),
        roots: Roots::default(),
        http2: true,
    }
}

fn client_with(options: HttpOptions) -> HttpClient {
    HttpClient::new(options, Clock::system()).unwrap()
}

fn client() -> HttpClient {
    client_with(options())
}

/// For attempts that are meant to run out of time.
fn hasty_client() -> HttpClient {
    client_with(HttpOptions { timeout_ms: 200, ..options() })
}

fn trusting(receiver: &Receiver) -> HttpOptions {
    let extra = receiver.root().into_iter().cloned().collect();
    HttpOptions { roots: Roots { extra }, ..options() }
}

fn target(url: &str) -> Target {
    Target::new(&Url::parse(url).unwrap()).unwrap()
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers
}

async fn post(client: &HttpClient, url: &str) -> Sent {
    client.send(&target(url), headers(), Bytes::from_static(b"{}")).await
}

#[track_caller]
fn answered(sent: Sent) -> Answer {
    sent.answer.expect("an answer")
}

#[track_caller]
fn failed(sent: Sent) -> Failure {
    sent.answer.expect_err("a failure")
}
