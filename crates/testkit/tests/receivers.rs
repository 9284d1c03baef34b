//! Receivers that misbehave, seen from outside: what is recorded, and what happens next.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use model::delivery::State;
use testkit::receiver::{Receiver, Reply};
use testkit::{START, TestServer, on_both};

on_both! {
    async fn every_way_to_fail_is_recorded_by_its_kind(server: TestServer) {
        let receiver = Receiver::start().await;
        let cases = [
            (Reply::status(404), "status"),
            (Reply::redirect("http://127.0.0.1:9/"), "status"),
            (Reply::reset(), "reset"),
            (Reply::wrong_length(), "reset"),
            (Reply::garbage(), "protocol"),
        ];
        let kinds: Vec<&str> = cases.iter().map(|(_, kind)| *kind).collect();
        receiver.script(cases.into_iter().map(|(reply, _)| reply));
        set_up(&server, &receiver, "{}").await;
        for (settled, kind) in (1..).zip(kinds) {
            receiver.next().await;
            server.until_settled(settled).await;
            let attempts = server.get("/api/v1/app/w7/attempt/endpoint/e").await.json;
            assert_eq!(attempts["data"][0]["errorKind"], kind, "{attempts}");
            server.clock.advance_to(START.plus_ms(settled * 10 * 3_600_000));
        }
        server.stop().await;
    }

    async fn gone_disables_the_endpoint_and_keeps_its_queue(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.script([Reply::gone()]);
        set_up(&server, &receiver, "{}").await;
        receiver.next().await;
        server.until_settled(1).await;
        let endpoint = until(&server, "/api/v1/app/w7/endpoint/e", |endpoint| {
            endpoint["disabled"] == true
        })
        .await;
        assert_eq!(endpoint["disabledReason"], "gone");
        // Nothing more is sent, however late it gets.
        server.clock.advance_to(START.plus_ms(100 * 3_600_000));
        let list = server.get("/api/v1/app/w7/delivery").await.json;
        assert_eq!(list["data"][0]["state"], State::Queued.as_str());
        // Enabled again, what was kept arrives.
        let patch = server
            .call(http::Method::PATCH, "/api/v1/app/w7/endpoint/e", &[], br#"{"disabled":false}"#.to_vec())
            .await;
        assert_eq!(patch.status, 200, "{patch:?}");
        receiver.next().await;
        server.until_settled(2).await;
        assert_eq!(receiver.requests().len(), 2);
        server.stop().await;
    }

    async fn paused_is_held_and_resumed_arrives(server: TestServer) {
        let receiver = Receiver::start().await;
        set_up(&server, &receiver, "{}").await;
        receiver.next().await;
        assert_eq!(server.post("/api/v1/app/w7/endpoint/e/pause", "").await.status, 200);
        for n in 0..5 {
            let body = format!(r#"{{"eventType": "a.b", "payload": {{"n": {n}}}}}"#);
            assert_eq!(server.post("/api/v1/app/w7/msg", body).await.status, 202);
        }
        let list = server.get("/api/v1/app/w7/delivery?status=1").await.json;
        assert_eq!(list["data"].as_array().expect("a list").len(), 5);
        assert_eq!(server.post("/api/v1/app/w7/endpoint/e/resume", "").await.status, 200);
        receiver.until_received(6).await;
        server.until_settled(6).await;
        server.stop().await;
    }

    async fn secrets_do_not_show_in_what_is_recorded(server: TestServer) {
        let receiver = Receiver::start().await;
        set_up(&server, &receiver, r#"{"Authorization": "Bearer canary-4711", "X-Plain": "7"}"#).await;
        let received = receiver.next().await;
        assert_eq!(received.header("authorization"), Some("Bearer canary-4711"));
        server.until_settled(1).await;
        let attempts = server.get("/api/v1/app/w7/attempt/endpoint/e").await;
        let text = String::from_utf8(attempts.bytes).expect("text");
        assert!(!text.contains("canary-4711") && text.contains("x-plain"), "{text}");
        server.stop().await;
    }
}

async fn set_up(server: &TestServer, receiver: &Receiver, headers: &str) {
    let app = server.post("/api/v1/app", r#"{"name": "Open House", "uid": "w7"}"#).await;
    assert_eq!(app.status, 201, "{app:?}");
    let url = receiver.url("/hooks");
    let wish = format!(r#"{{"url": "{url}", "uid": "e", "headers": {headers}}}"#);
    let endpoint = server.post("/api/v1/app/w7/endpoint", wish).await;
    assert_eq!(endpoint.status, 201, "{endpoint:?}");
    let message = r#"{"eventType": "contact.created", "payload": {"id": 7}}"#;
    assert_eq!(server.post("/api/v1/app/w7/msg", message).await.status, 202);
}

/// Reads until what is read is as wanted; each read waits for the server, none for a clock.
async fn until(
    server: &TestServer,
    path: &str,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    const MAX_READS: usize = 2_000;
    for _ in 0..MAX_READS {
        let json = server.get(path).await.json;
        if wanted(&json) {
            return json;
        }
    }
    panic!("{path} did not get there");
}
