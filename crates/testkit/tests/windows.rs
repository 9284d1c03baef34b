//! A maintenance window in the whole server, across a night in which the clocks go forward.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use model::{EndpointId, Timestamp};
use serde_json::{Value, json};
use testkit::receiver::Receiver;
use testkit::{TestServer, on_both};

const BEGIN: &str = "2027-03-28T01:00:00.000Z";
const END: &str = "2027-03-28T02:00:00.000Z";

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("a moment")
}

async fn app(server: &TestServer, uid: &str, receiver: &Receiver) -> EndpointId {
    let wish = json!({"name": uid, "uid": uid});
    assert_eq!(server.post("/api/v1/app", wish.to_string()).await.status, 201);
    let wish = json!({"url": receiver.url("/hooks")});
    let path = format!("/api/v1/app/{uid}/endpoint");
    let made = server.post(&path, wish.to_string()).await;
    made.json["id"].as_str().expect("an id").parse().expect("an endpoint id")
}

async fn publish(server: &TestServer) -> String {
    let message = r#"{"eventType": "contact.created", "payload": {"id": 7}}"#;
    let published = server.post("/api/v1/app/crm/msg", message).await;
    assert_eq!(published.status, 202);
    published.json["id"].as_str().expect("an id").to_owned()
}

on_both! {
    async fn what_is_published_within_goes_at_the_end(server: TestServer) {
        let (receiver, operator) = (Receiver::start().await, Receiver::start().await);
        server.clock.advance_to(at("2027-03-28T00:00:00Z"));
        let endpoint = app(&server, "crm", &receiver).await;
        app(&server, "operations", &operator).await;
        let wish = json!({
            "name": "backups", "cron": "30 2 * * *", "durationMinutes": 60, "timeZone": "Europe/Berlin"
        });
        let made = server.post("/api/v1/app/crm/maintenance-window", wish.to_string()).await;
        assert_eq!((made.status, made.json["startsAt"].as_str()), (201, Some(BEGIN)));

        server.clock.advance_to(at(BEGIN).minus_ms(1));
        publish(&server).await;
        receiver.next().await;
        server.until_settled(1).await;

        server.clock.advance_to(at(BEGIN));
        let held = publish(&server).await;
        let started: Value = serde_json::from_slice(&operator.next().await.body).expect("JSON");
        assert_eq!((&started["type"], &started["data"]["endsAt"]), (&json!("window.started"), &json!(END)));
        server.until_settled(2).await;
        server.clock.advance_to(at(END).minus_ms(1));
        server.store.claim().await.expect("a claim");
        assert_eq!(server.store.hold_of(endpoint).await.expect("a read"), Some(at(END)));
        assert_eq!(receiver.requests().len(), 1, "nothing is sent in a window");

        server.clock.advance_to(at(END));
        receiver.next().await;
        operator.next().await;
        server.until_settled(4).await;
        let attempts = server.get(&format!("/api/v1/app/crm/attempt/msg/{held}")).await;
        assert_eq!(attempts.json["data"][0]["timestamp"], END);
        let said: Vec<Value> = operator
            .requests()
            .iter()
            .map(|request| serde_json::from_slice::<Value>(&request.body).expect("JSON")["type"].clone())
            .collect();
        assert_eq!(said, ["window.started", "window.ended"]);
        server.stop().await;
    }
}
