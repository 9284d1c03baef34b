//! HTTP/2, when both sides want it.

use std::sync::Arc;

use bytes::Bytes;
use engine::http::HttpOptions;
use model::attempt::{ErrorKind, RESPONSE_KEPT_BYTES};
use testkit::receiver::{Receiver, Reply, Tls};

use crate::{answered, client_with, failed, headers, post, target, trusting};

#[tokio::test]
async fn a_request_arrives_as_it_was_given() {
    let receiver = Receiver::start_tls(Tls::http2()).await;
    let client = client_with(trusting(&receiver));
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let target = target(&receiver.url("/hook?a=1"));
    receiver.script([Reply::status(200).body("thanks")]);
    let sent = client.send(&target, headers(), Bytes::from(body.clone())).await;
    assert_eq!(answered(sent).body, b"thanks");
    let request = receiver.next().await;
    assert_eq!(
        (request.version, &*request.method, &*request.path),
        ("HTTP/2", "POST", "/hook?a=1")
    );
    assert_eq!(request.header("content-length"), Some("300000"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(request.body == body);
}

#[tokio::test]
async fn requests_share_one_connection() {
    let receiver = Receiver::start_tls(Tls::http2()).await;
    let client = Arc::new(client_with(trusting(&receiver)));
    answered(post(&client, &receiver.url("/")).await);
    receiver.always(Reply::hang());
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (client, url) = (client.clone(), receiver.url("/"));
        senders.spawn(async move { post(&client, &url).await });
    }
    // All of them under way at once.
    receiver.until_received(51).await;
    assert_eq!((receiver.connections(), client.pooled()), (1, 1));
}

#[tokio::test]
async fn a_full_connection_gets_a_second_beside_it() {
    const STREAMS_MAX: usize = 100;
    let receiver = Receiver::start_tls(Tls::http2()).await;
    let client = Arc::new(client_with(trusting(&receiver)));
    answered(post(&client, &receiver.url("/")).await);
    receiver.script(vec![Reply::hang(); STREAMS_MAX]);
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..STREAMS_MAX {
        let (client, url) = (client.clone(), receiver.url("/"));
        senders.spawn(async move { post(&client, &url).await });
    }
    receiver.until_received(1 + STREAMS_MAX).await;
    answered(post(&client, &receiver.url("/")).await);
    assert_eq!((receiver.connections(), client.pooled()), (2, 2));
}

#[tokio::test]
async fn a_dead_connection_leaves_the_pool() {
    let receiver = Receiver::start_tls(Tls::http2()).await;
    let client = client_with(trusting(&receiver));
    answered(post(&client, &receiver.url("/")).await);
    receiver.drop_connections();
    receiver.until_all_closed().await;
    // Its driver hears of it when the runtime looks at its sockets.
    while client.pooled() > 0 {
        client.close_idle();
        tokio::task::yield_now().await;
    }
    answered(post(&client, &receiver.url("/")).await);
    assert_eq!((receiver.connections(), receiver.requests().len()), (2, 2));
}

#[tokio::test]
async fn a_broken_stream_is_not_tried_again_and_leaves_the_connection() {
    let receiver = Receiver::start_tls(Tls::http2()).await;
    let client = client_with(trusting(&receiver));
    receiver.script([Reply::reset()]);
    assert_eq!(failed(post(&client, &receiver.url("/")).await).kind, ErrorKind::Reset);
    answered(post(&client, &receiver.url("/")).await);
    assert_eq!((receiver.connections(), receiver.requests().len()), (1, 2));
}

#[tokio::test]
async fn limits_hold_for_streams_too() {
    let receiver = Receiver::start_tls(Tls::http2()).await;
    let hasty = client_with(HttpOptions { timeout_ms: 400, ..trusting(&receiver) });
    receiver.script([Reply::hang()]);
    assert_eq!(failed(post(&hasty, &receiver.url("/")).await).kind, ErrorKind::Timeout);

    let client = client_with(trusting(&receiver));
    receiver.script([Reply::endless_body()]);
    let answer = answered(post(&client, &receiver.url("/")).await);
    assert_eq!((answer.body.len(), answer.cut), (RESPONSE_KEPT_BYTES, true));
    assert_eq!(answered(post(&client, &receiver.url("/")).await).status, 204);
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let receiver = Receiver::start_tls(Tls::http2()).await;
    let client = client_with(HttpOptions { http2: false, ..trusting(&receiver) });
    answered(post(&client, &receiver.url("/")).await);
    assert_eq!(receiver.next().await.version, "HTTP/1.1");
}
