//! The walk of one message: the one test that goes the whole road, in the order of
//! ARCHITECTURE.md. A message is published, arrives signed, is refused, waits, is claimed again,
//! arrives, and is explained.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use model::Timestamp;
use model::signature::{Secret, Signed, Signer, verify};
use testkit::receiver::{Received, Receiver, Reply};
use testkit::{START, TestServer, on_both};

/// The files of the walk, in order: what ARCHITECTURE.md must say.
const WALK: [&str; 11] = [
    "crates/api/src/messages/create.rs",
    "crates/store/src/hot/ingest.rs",
    "crates/store/src/hot/plan.rs",
    "crates/store/src/hot/writer.rs",
    "crates/engine/src/dispatcher.rs",
    "crates/engine/src/deliver.rs",
    "crates/engine/src/request.rs",
    "crates/engine/src/http.rs",
    "crates/store/src/hot/settle.rs",
    "crates/store/src/hot/claim.rs",
    "crates/api/src/attempts/list_by_message.rs",
];

/// Odd on purpose: nothing that reads and writes JSON again would leave it like this.
const PAYLOAD: &str = r#"{"b":1e400, "a":12345678901234567890, "a":"\u0000\ud800"}"#;

on_both! {
    async fn one_message_walks_the_whole_road(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.script([Reply::status(503), Reply::status(204)]);
        let (app, endpoint) = app_with_endpoint(&server, &receiver).await;

        // 1 create: the caller is known, the payload is a slice of the request.
        // 2 ingest, 3 plan, 4 writer: durable with its deliveries, in one commit.
        let body = format!(r#"{{"eventType": "contact.created", "payload": {PAYLOAD}}}"#);
        let messages = format!("/api/v1/app/{app}/msg?with_content=false");
        let accepted = server.post(&messages, body).await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
        let message = accepted.json["id"].as_str().expect("an id").to_owned();

        // 5 dispatcher, 6 deliver, 7 request, 8 http: it arrives as it was published, signed.
        let first = receiver.next().await;
        check_signed(&server, &app, &endpoint, &message, &first).await;

        // 9 settle: the refusal is recorded and the delivery is due again.
        let attempts = format!("/api/v1/app/{app}/attempt/msg/{message}");
        server.until_settled(1).await;
        let recorded = server.get(&attempts).await.json;
        assert_eq!(recorded["data"][0]["responseStatusCode"], 503);

        // 10 claim: when the clock gets there, the same message is sent again.
        server.clock.advance_to(START.plus_ms(2_000));
        let second = receiver.next().await;
        assert_eq!(second.header("webhook-id"), first.header("webhook-id"));
        assert_ne!(second.header("webhook-timestamp"), first.header("webhook-timestamp"));
        server.until_settled(2).await;

        // 11 list_by_message: what happened, newest first.
        let recorded = server.get(&attempts).await.json;
        let codes: Vec<u64> = recorded["data"].as_array().expect("a list").iter()
            .filter_map(|attempt| attempt["responseStatusCode"].as_u64()).collect();
        assert_eq!(codes, [204, 503]);
        server.stop().await;
    }
}

async fn app_with_endpoint(server: &TestServer, receiver: &Receiver) -> (String, String) {
    let app = server.post("/api/v1/app", r#"{"name": "Open House"}"#).await.json;
    let app = app["id"].as_str().expect("an id").to_owned();
    let wish = serde_json::json!({"url": receiver.url("/hooks"), "eventTypes": ["contact.*"]});
    let endpoint = server.post(&format!("/api/v1/app/{app}/endpoint"), wish.to_string()).await;
    assert_eq!(endpoint.status, 201, "{endpoint:?}");
    (app, endpoint.json["id"].as_str().expect("an id").to_owned())
}

async fn check_signed(
    server: &TestServer,
    app: &str,
    endpoint: &str,
    message: &str,
    received: &Received,
) {
    assert_eq!(received.method, "POST");
    assert_eq!(received.path, "/hooks");
    assert_eq!(String::from_utf8_lossy(&received.body), PAYLOAD);
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("webhook-id"), Some(message));
    let secret = server.get(&format!("/api/v1/app/{app}/endpoint/{endpoint}/secret")).await.json;
    let secret = Secret::parse(secret["key"].as_str().expect("a key")).expect("a secret");
    let signed = Signed {
        id: message,
        timestamp: received.header("webhook-timestamp").expect("a timestamp"),
        signature: received.header("webhook-signature").expect("a signature"),
        body: &received.body,
    };
    let now: Timestamp = server.clock.now();
    verify(&[Signer::new(&secret)], signed, now).expect("a good signature");
}

#[test]
fn the_architecture_names_the_same_files_in_the_same_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, walk) = text.split_once("## The walk of one message").expect("the chapter");
    let (walk, _) = walk.split_once("\nCrash:").expect("its end");
    let steps = walk.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let named: Vec<&str> = steps.map(|line| line.split('`').nth(1).expect("a file")).collect();
    assert_eq!(named, WALK);
    for file in WALK {
        assert!(root.join(file).is_file(), "{file} does not exist");
    }
}
