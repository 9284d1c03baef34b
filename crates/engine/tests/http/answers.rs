//! What is sent, and what is kept of the answer.

use bytes::Bytes;
use model::attempt::RESPONSE_KEPT_BYTES;
use testkit::receiver::{Receiver, Reply, gzip_bomb};

use crate::{answered, client, headers, post, target};

#[tokio::test]
async fn one_request_arrives_as_it_was_given() {
    let receiver = Receiver::start().await;
    let target = target(&receiver.url("/hook/1?a=b%20c#gone"));
    let mut given = headers();
    given.append("x-tag", "one".parse().unwrap());
    given.append("x-tag", "two".parse().unwrap());
    let sent = client().send(&target, given, Bytes::from_static(b"{\"a\": 1.0}")).await;

    let request = receiver.next().await;
    assert_eq!((&*request.method, &*request.path), ("POST", "/hook/1?a=b%20c"));
    assert_eq!(request.body, b"{\"a\": 1.0}");
    let host = receiver.address().to_string();
    let expected = [
        ("content-type", "application/json"),
        ("x-tag", "one"),
        ("x-tag", "two"),
        ("content-length", "10"),
        ("host", &host),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(request.headers, expected);
    assert_eq!(sent.address, Some(receiver.address().ip()));
    assert_eq!(answered(sent).status, 204);
}

#[tokio::test]
async fn bodies_arrive_byte_for_byte() {
    let receiver = Receiver::start().await;
    let client = client();
    let target = target(&receiver.url("/"));
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies = [Vec::new(), every_byte.clone(), every_byte.repeat(4096)];
    for body in bodies {
        let length = body.len().to_string();
        answered(client.send(&target, headers(), Bytes::from(body.clone())).await);
        let request = receiver.next().await;
        assert_eq!(request.header("content-length"), Some(&*length));
        assert!(request.body == body, "{length} bytes differ");
    }
}

#[tokio::test]
async fn the_answer_is_kept_with_its_headers_and_timing() {
    let receiver = Receiver::start().await;
    let reply = Reply::retry_after(429, "7").header("x-odd", "caf\u{e9}").body("slow down");
    receiver.script([reply]);
    let sent = post(&client(), &receiver.url("/")).await;
    let timing = sent.timing;
    assert!(timing.connect_us.is_some() && timing.first_byte_us.is_some());
    assert!(timing.resolve_us.is_none() && timing.tls_us.is_none());
    assert!(timing.total_us.unwrap() >= timing.first_byte_us.unwrap());
    let answer = answered(sent);
    assert_eq!((answer.status, &*answer.body, answer.cut), (429, &b"slow down"[..], false));
    let header = |name: &str| {
        let found = answer.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value)
    };
    assert_eq!(header("retry-after"), Some("7"));
    assert_eq!(header("x-odd"), Some("café"));
}

#[tokio::test]
async fn headers_that_are_not_text_are_shown_all_the_same() {
    let receiver = Receiver::start().await;
    let raw = b"HTTP/1.1 200 OK\r\nx-raw: a\xff\xfeb\r\ncontent-length: 0\r\n\r\n";
    receiver.script([Reply::raw(*raw)]);
    let answer = answered(post(&client(), &receiver.url("/")).await);
    assert_eq!(answer.headers.iter().next(), Some(("x-raw", "a\u{fffd}\u{fffd}b")));
}

#[tokio::test]
async fn a_body_of_the_kept_size_is_whole_and_one_byte_more_is_cut() {
    let receiver = Receiver::start().await;
    let client = client();
    let longest = vec![b'x'; RESPONSE_KEPT_BYTES];
    receiver.script([
        Reply::status(200).body(longest.clone()),
        Reply::status(200).body([&longest[..], b"!"].concat()),
    ]);
    let whole = answered(post(&client, &receiver.url("/")).await);
    assert!(!whole.cut && whole.body == longest);
    let cut = answered(post(&client, &receiver.url("/")).await);
    assert!(cut.cut && cut.body == longest);
    assert_eq!(receiver.connections(), 1, "a whole answer leaves a usable connection");
    receiver.until_all_closed().await;
    assert_eq!(client.pooled(), 0, "a cut one does not");
}

#[tokio::test]
async fn an_endless_body_ends_at_the_cap_and_costs_the_connection() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::endless_body()]);
    let answer = answered(post(&client(), &receiver.url("/")).await);
    assert_eq!((answer.status, answer.body.len(), answer.cut), (200, RESPONSE_KEPT_BYTES, true));
    receiver.until_all_closed().await;
}

#[tokio::test]
async fn a_bomb_stays_packed_and_no_encoding_is_asked_for() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::gzip_bomb()]);
    let mut given = headers();
    given.insert("accept-encoding", "gzip".parse().unwrap());
    let sent = client().send(&target(&receiver.url("/")), given, Bytes::new()).await;
    assert!(answered(sent).body == gzip_bomb());
    assert_eq!(receiver.next().await.header("accept-encoding"), None);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let receiver = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    let client = client();
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url("/canary");
        receiver.script([Reply::status(status).header("location", &location)]);
        let answer = answered(post(&client, &receiver.url("/")).await);
        assert_eq!(answer.status, status);
        assert!(answer.headers.iter().any(|pair| pair == ("location", location.as_str())));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn nothing_in_a_url_can_add_a_header() {
    let receiver = Receiver::start().await;
    let client = client();
    let evil = "%0d%0aX-Evil:%201%0d%0a%0d%0aPOST%20/second%20HTTP/1.1";
    let user = evil.replace('/', "%2f");
    let address = receiver.address();
    let urls = [
        format!("http://{address}/{evil}"),
        format!("http://{address}/?{evil}"),
        format!("http://{address}/\r\nX-Evil: 1\r\n\r\n"),
        format!("http://{user}:{user}@{address}/"),
    ];
    for url in &urls {
        answered(post(&client, url).await);
    }
    let requests = receiver.requests();
    assert_eq!(requests.len(), urls.len(), "no request hid in another");
    for request in requests {
        assert_eq!((request.header("x-evil"), &*request.body), (None, &b"{}"[..]));
    }
}

#[tokio::test]
async fn user_and_password_authorize_unless_the_endpoint_has_its_own_header() {
    let receiver = Receiver::start().await;
    let client = client();
    let url = format!("http://Aladdin:open%20sesame@{}/", receiver.address());
    post(&client, &url).await;
    let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(receiver.next().await.header("authorization"), Some(basic));
    let mut given = headers();
    given.insert("authorization", "Bearer own".parse().unwrap());
    client.send(&target(&url), given, Bytes::new()).await;
    assert_eq!(receiver.next().await.header("authorization"), Some("Bearer own"));
}
