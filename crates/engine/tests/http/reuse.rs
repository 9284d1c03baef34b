//! Connections are used again when that is safe, and only then.

use std::sync::Arc;

use engine::http::{HttpClient, HttpOptions, IDLE_AGE_MAX, IDLE_PER_ORIGIN_MAX, Resolver};
use model::{Clock, Timestamp};
use testkit::receiver::{Receiver, Reply};

use crate::{answered, client, client_with, options, post};

#[tokio::test]
async fn one_connection_serves_request_after_request() {
    let receiver = Receiver::start().await;
    let client = client();
    let replies =
        [Reply::status(204), Reply::status(500).body("no"), Reply::status(200).body("yes")];
    receiver.script(replies);
    for number in 0..3 {
        let sent = post(&client, &receiver.url("/")).await;
        assert_eq!(sent.timing.connect_us.is_some(), number == 0, "only the first connects");
        assert_eq!(sent.address, Some(receiver.address().ip()));
        answered(sent);
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_without_a_duplicate() {
    let receiver = Receiver::start().await;
    let client = client();
    answered(post(&client, &receiver.url("/")).await);
    receiver.drop_connections();
    receiver.until_all_closed().await;
    assert_eq!(client.pooled(), 1, "nobody has told the client yet");
    // Lets the runtime look at its sockets.
    tokio::task::yield_now().await;

    answered(post(&client, &receiver.url("/")).await);
    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_receiver_that_says_close_is_taken_at_its_word() {
    let receiver = Receiver::start().await;
    let client = client();
    receiver.script([Reply::status(200).header("connection", "close").body("bye")]);
    answered(post(&client, &receiver.url("/")).await);
    assert_eq!(client.pooled(), 0);
    receiver.until_all_closed().await;
}

#[tokio::test]
async fn bytes_nobody_asked_for_spoil_the_connection() {
    let receiver = Receiver::start().await;
    let client = client();
    let double = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".repeat(2);
    receiver.script([Reply::raw(double)]);
    answered(post(&client, &receiver.url("/")).await);
    receiver.until_all_closed().await;
    tokio::task::yield_now().await;
    let answer = answered(post(&client, &receiver.url("/")).await);
    assert_eq!(answer.status, 204, "the second answer was nobody's");
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn the_sweep_closes_what_the_receiver_has_closed() {
    let receiver = Receiver::start().await;
    let client = client();
    answered(post(&client, &receiver.url("/")).await);
    client.close_idle();
    assert_eq!(client.pooled(), 1, "an open connection stays");
    receiver.drop_connections();
    receiver.until_all_closed().await;
    tokio::task::yield_now().await;
    client.close_idle();
    assert_eq!(client.pooled(), 0);
}

#[tokio::test]
async fn the_sweep_closes_what_has_rested_too_long() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(Timestamp(0));
    let client = HttpClient::new(options(), clock.clone()).unwrap();
    answered(post(&client, &receiver.url("/")).await);
    let age_max_ms = u64::try_from(IDLE_AGE_MAX.as_millis()).unwrap();
    clock.advance_to(Timestamp(0).plus_ms(age_max_ms - 1));
    client.close_idle();
    assert_eq!(client.pooled(), 1);
    clock.advance_to(Timestamp(0).plus_ms(age_max_ms));
    client.close_idle();
    assert_eq!(client.pooled(), 0);
    receiver.until_all_closed().await;
}

#[tokio::test]
async fn a_connection_rests_no_longer_than_its_receiver_wants() {
    let receiver = Receiver::start().await;
    receiver.always(Reply::status(200).header("keep-alive", "timeout=5, max=100"));
    let clock = Clock::manual(Timestamp(0));
    let client = HttpClient::new(options(), clock.clone()).unwrap();
    for moment_ms in [0, 3_999, 7_998, 11_998] {
        clock.advance_to(Timestamp(moment_ms));
        answered(post(&client, &receiver.url("/")).await);
    }
    let requests = receiver.requests();
    let connections: Vec<_> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1], "the last one came a full four seconds later");
}

#[tokio::test]
async fn two_hosts_on_one_address_share_no_connection() {
    let receiver = Receiver::start().await;
    let resolver = Resolver::fixed(|_| vec![[127, 0, 0, 1].into()]);
    let client = client_with(HttpOptions { resolver, ..options() });
    for host in ["one.test", "two.test", "one.test"] {
        answered(post(&client, &receiver.url_of(host, "/")).await);
    }
    let connections: Vec<_> =
        receiver.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_need_no_more_connections_than_they_are() {
    const SENDERS: usize = 32;
    const EACH: usize = 100;
    let receiver = Receiver::start().await;
    receiver.always(Reply::status(200).body("ok"));
    let client = Arc::new(client());
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        let (client, url) = (client.clone(), receiver.url("/"));
        senders.spawn(async move {
            for _ in 0..EACH {
                assert_eq!(answered(post(&client, &url).await).body, b"ok");
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
    assert_eq!(receiver.requests().len(), SENDERS * EACH);
    assert!(receiver.connections() <= SENDERS, "{} connections", receiver.connections());
}

#[tokio::test]
async fn a_burst_leaves_no_more_than_the_maximum_behind() {
    const SENDERS: usize = IDLE_PER_ORIGIN_MAX + 20;
    let receiver = Receiver::start().await;
    // Every answer waits for the last request, so that each request needs a connection.
    receiver.always(Reply::status(204).after(SENDERS));
    let client = Arc::new(client());
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        let (client, url) = (client.clone(), receiver.url("/"));
        senders.spawn(async move { post(&client, &url).await });
    }
    while let Some(ended) = senders.join_next().await {
        answered(ended.unwrap());
    }
    assert_eq!((receiver.connections(), client.pooled()), (SENDERS, IDLE_PER_ORIGIN_MAX));
}
