//! Every way an attempt can fail, told apart.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use engine::http::HttpOptions;
use model::attempt::{ErrorKind, RESPONSE_KEPT_BYTES};
use testkit::receiver::{Receiver, Reply};

use crate::{client, client_with, failed, hasty_client, options, post};

const DRIP: Duration = Duration::from_millis(10);

/// A port of 127.0.0.1 that nobody listens on.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let port = closed_port();
    let sent = post(&client(), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(sent.address, Some([127, 0, 0, 1].into()));
    let failure = failed(sent);
    assert_eq!(failure.kind, ErrorKind::Connect);
    assert_eq!(failure.message, format!("connection refused by 127.0.0.1:{port}"));
}

#[tokio::test]
async fn an_unknown_name_is_a_dns_failure() {
    let sent = post(&client(), "http://nowhere.test/").await;
    assert!(sent.timing.resolve_us.is_some());
    assert_eq!(sent.address, None);
    let failure = failed(sent);
    assert_eq!(failure.kind, ErrorKind::Dns);
    assert_eq!(failure.message, "nowhere.test does not resolve to any address");
}

#[tokio::test]
async fn a_handshake_that_stalls_runs_into_the_connect_limit() {
    // The kernel accepts, nobody answers the handshake.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let client = client_with(HttpOptions { connect_timeout_ms: 200, ..options() });
    let failure = failed(post(&client, &format!("https://{address}/")).await);
    assert_eq!(failure.kind, ErrorKind::ConnectTimeout);
    assert_eq!(failure.message, format!("no connection to {address} within 200 ms"));
}

#[tokio::test]
async fn without_an_answer_the_total_limit_ends_it() {
    let receiver = Receiver::start().await;
    for reply in [Reply::hang(), Reply::slow_headers(DRIP), Reply::informational_flood()] {
        receiver.script([reply.clone()]);
        let sent = post(&hasty_client(), &receiver.url("/")).await;
        assert!((200..2_000).contains(&sent.duration_ms), "{reply:?}: {} ms", sent.duration_ms);
        assert_eq!(sent.timing.first_byte_us, None);
        let failure = failed(sent);
        assert_eq!(failure.kind, ErrorKind::Timeout, "{reply:?}");
        assert_eq!(failure.message, "no answer within 200 ms");
        assert_eq!(failure.partial, None);
        receiver.until_all_closed().await;
    }
    assert_eq!(receiver.requests().len(), 3, "none is sent again");
}

#[tokio::test]
async fn the_total_limit_covers_the_last_byte_and_keeps_what_came() {
    let receiver = Receiver::start().await;
    for reply in [Reply::stall_in_body(), Reply::slow_body(DRIP)] {
        receiver.script([reply.header("x-kept", "yes")]);
        let failure = failed(post(&hasty_client(), &receiver.url("/")).await);
        assert_eq!(failure.kind, ErrorKind::Timeout);
        assert_eq!(failure.message, "the answer was not complete within 200 ms");
        let partial = failure.partial.expect("the status line came");
        assert_eq!(partial.status, 200);
        assert_eq!(partial.headers.iter().next(), Some(("x-kept", "yes")));
        assert!((1..RESPONSE_KEPT_BYTES).contains(&partial.body.len()));
        receiver.until_all_closed().await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_not_tried_again() {
    let receiver = Receiver::start().await;
    for reply in [Reply::reset(), Reply::close()] {
        receiver.script([reply.clone()]);
        let failure = failed(post(&client(), &receiver.url("/")).await);
        assert_eq!((failure.kind, failure.partial), (ErrorKind::Reset, None), "{reply:?}");
    }
    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_a_broken_connection() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::wrong_length()]);
    let failure = failed(post(&client(), &receiver.url("/")).await);
    assert_eq!(failure.kind, ErrorKind::Reset);
    assert_eq!(failure.partial.expect("the status line came").body, b"0123456789");
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_failure() {
    let receiver = Receiver::start().await;
    let replies = [
        Reply::garbage(),
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"),
        Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a size\r\n"),
        Reply::raw("HTTP/0.9 200 OK\r\n\r\n"),
        Reply::huge_headers(),
        Reply::many_headers(),
    ];
    for reply in replies {
        receiver.script([reply.clone()]);
        let failure = failed(post(&client(), &receiver.url("/")).await);
        assert_eq!(failure.kind, ErrorKind::Protocol, "{}", failure.message);
    }
}

#[tokio::test]
async fn oversized_headers_are_told_apart() {
    let receiver = Receiver::start().await;
    for reply in [Reply::huge_headers(), Reply::many_headers()] {
        receiver.script([reply]);
        let failure = failed(post(&client(), &receiver.url("/")).await);
        assert_eq!(failure.message, "the answer's headers are too many or too large");
    }
}

#[tokio::test]
async fn dropping_an_attempt_drops_its_connection() {
    let receiver = Receiver::start().await;
    receiver.always(Reply::hang());
    let client = Arc::new(client());
    let url = receiver.url("/");
    let sending = tokio::spawn({
        let client = client.clone();
        async move { post(&client, &url).await }
    });
    receiver.next().await;
    sending.abort();
    receiver.until_all_closed().await;
    assert_eq!(client.pooled(), 0);
}
