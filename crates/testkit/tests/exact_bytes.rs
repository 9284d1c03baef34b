//! What arrives is what was published, byte for byte, whatever JSON it is.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use testkit::receiver::Receiver;
use testkit::{TestServer, on_both};

const MIB: usize = 1024 * 1024;

fn payloads() -> Vec<String> {
    let mut payloads: Vec<String> = [
        "{}",
        "[]",
        "null",
        "-0",
        "1E400",
        "123456789012345678901234567890",
        r#"{"a":1,"a":2,"b":{"z":1,"a":[]}}"#,
        r#""\u0000""#,
        r#"{"lone":"\ud800","pair":"\ud83e\udd89","low":"\udc00"}"#,
        "{ \"spaces\" :\t[ 1 ,\r\n 2 ] }",
        "{\"text\":\"Zoë 🦉 \u{2028}\"}",
        "[0.1e+1,1.0,1e2,100]",
    ]
    .map(str::to_owned)
    .to_vec();
    // With its quotes exactly as large as a payload may be.
    payloads.push(format!("\"{}\"", "x".repeat(MIB - 2)));
    payloads.push(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)));
    payloads
}

on_both! {
    async fn every_payload_arrives_as_it_was_published(server: TestServer) {
        let receiver = Receiver::start().await;
        assert_eq!(server.post("/api/v1/app", r#"{"name": "x", "uid": "w7"}"#).await.status, 201);
        let wish = serde_json::json!({"url": receiver.url("/hooks")}).to_string();
        assert_eq!(server.post("/api/v1/app/w7/endpoint", wish).await.status, 201);
        for payload in payloads() {
            let body = format!(r#"{{"eventType": "a.b", "payload": {payload}}}"#);
            let accepted = server.post("/api/v1/app/w7/msg", body).await;
            let start: String = payload.chars().take(40).collect();
            assert_eq!(accepted.status, 202, "{start}");
            let received = receiver.next().await;
            assert!(received.body == payload.as_bytes(), "{start} arrived changed");
        }
        server.stop().await;
    }

    async fn what_is_no_json_is_refused_at_once_with_a_reason(server: TestServer) {
        assert_eq!(server.post("/api/v1/app", r#"{"name": "x", "uid": "w7"}"#).await.status, 201);
        for payload in ["", "{", "01", "'a'", "{\"a\":1,}", "nul", "\"\u{1}\"", "[1 2]", "NaN"] {
            let body = format!(r#"{{"eventType": "a.b", "payload": {payload}}}"#);
            let refused = server.post("/api/v1/app/w7/msg", body).await;
            assert_eq!(refused.status, 400, "{payload}: {refused:?}");
            assert!(refused.json["detail"].as_str().is_some_and(|text| !text.is_empty()));
        }
        let not_utf8 = [&br#"{"eventType":"a.b","payload":""#[..], &[0xff], &br#""}"#[..]].concat();
        assert_eq!(server.post("/api/v1/app/w7/msg", not_utf8).await.status, 400);
        let too_large = format!(r#"{{"eventType":"a.b","payload":"{}"}}"#, "x".repeat(MIB));
        assert_eq!(server.post("/api/v1/app/w7/msg", too_large).await.status, 413);
        server.stop().await;
    }
}
