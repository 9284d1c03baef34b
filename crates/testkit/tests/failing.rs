//! A receiver that fails, seen from the operations app: what is said of its deliveries and of the
//! endpoint itself, once each.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use model::delivery::State;
use model::{AppId, DeliveryId};
use serde_json::{Value, json};
use testkit::receiver::{Receiver, Reply};
use testkit::server::PATIENCE;
use testkit::{TestOptions, TestServer, TestStore, on_both};

/// A receiver in the operations app, and another in an app of its own.
struct Scene {
    operations: Receiver,
    receiver: Receiver,
    app: AppId,
    delivery: DeliveryId,
}

async fn scene(server: &TestServer, replies: impl IntoIterator<Item = Reply>) -> Scene {
    let (operations, receiver) = (Receiver::start().await, Receiver::start().await);
    receiver.script(replies);
    let mut ids = Vec::new();
    for (uid, to) in [("operations", &operations), ("w7", &receiver)] {
        let app = json!({"name": uid, "uid": uid}).to_string();
        let app = server.post("/api/v1/app", app).await;
        ids.push(app.json["id"].as_str().expect("an id").to_owned());
        let wish = json!({"url": to.url("/hooks"), "uid": "mine"}).to_string();
        assert_eq!(server.post(&format!("/api/v1/app/{uid}/endpoint"), wish).await.status, 201);
    }
    let message = r#"{"eventType": "contact.created", "eventId": "e7", "payload": {"id": 7}}"#;
    assert_eq!(server.post("/api/v1/app/w7/msg", message).await.status, 202);
    let list = server.get("/api/v1/app/w7/delivery").await;
    let delivery = list.json["data"][0]["id"].as_str().expect("an id");
    let app = ids[1].parse().expect("an app id");
    Scene { operations, receiver, app, delivery: delivery.parse().expect("a delivery id") }
}

impl Scene {
    /// Lets the delivery be tried until it is over.
    async fn run(&self, server: &TestServer) -> State {
        for attempts in 1..100 {
            let (state, due_at) = self.after(server, attempts).await;
            if state.is_final() {
                return state;
            }
            server.clock.advance_to(due_at);
        }
        panic!("it never ends");
    }

    /// The delivery once it was tried so often.
    async fn after(&self, server: &TestServer, attempts: u32) -> (State, model::Timestamp) {
        let mut settled = server.store.wake().settled();
        loop {
            settled.borrow_and_update();
            let row = server.store.delivery_in_app(self.app, self.delivery).await;
            let delivery = row.expect("a read").expect("the delivery").delivery;
            if delivery.attempts >= attempts && delivery.state != State::Leased {
                return (delivery.state, delivery.due_at);
            }
            let changed = tokio::time::timeout(PATIENCE, settled.changed()).await;
            changed.expect("an attempt").expect("a store");
        }
    }

    /// The next events of the operations app by their type.
    async fn hear(&self, n: usize) -> BTreeMap<String, Value> {
        let mut heard = BTreeMap::new();
        for _ in 0..n {
            let body: Value =
                serde_json::from_slice(&self.operations.next().await.body).expect("JSON");
            let name = body["type"].as_str().expect("a type").to_owned();
            assert!(heard.insert(name, body["data"].clone()).is_none(), "{body} came twice");
        }
        heard
    }
}

on_both! {
    async fn a_delivery_that_fails_for_good_is_heard_of(server: TestServer) {
        let scene = scene(&server, (0..13).map(|_| Reply::status(500))).await;
        assert_eq!(scene.run(&server).await, State::Failed);
        let heard = scene.hear(4).await;
        let names: Vec<&str> = heard.keys().map(String::as_str).collect();
        let expected = [
            "endpoint.created",
            "endpoint.failing",
            "message.attempt.exhausted",
            "message.attempt.failing",
        ];
        assert_eq!(names, expected);
        let exhausted = &heard["message.attempt.exhausted"];
        assert_eq!(exhausted["appUid"], "w7");
        assert_eq!(exhausted["endpointUid"], "mine");
        assert_eq!(exhausted["msgEventId"], "e7");
        assert_eq!(exhausted["lastAttempt"]["responseStatusCode"], 500);
        assert_eq!(heard["endpoint.failing"]["budgetUsedPercent"], 50);
        server.stop().await;
    }

    async fn a_delivery_that_recovers_is_heard_of(server: TestServer) {
        let scene = scene(&server, (0..5).map(|_| Reply::status(500))).await;
        assert_eq!(scene.run(&server).await, State::Succeeded);
        assert_eq!(scene.receiver.requests().len(), 6);
        let heard = scene.hear(3).await;
        let failing = &heard["message.attempt.failing"];
        let recovered = &heard["message.attempt.recovered"];
        assert_eq!(failing["msgId"], recovered["msgId"]);
        assert_eq!(recovered["lastAttempt"]["responseStatusCode"], 204);
        server.stop().await;
    }
}

on_both! {
    async fn the_last_outcomes_are_noted_at_the_end(database: TestDatabase) {
        let server = TestServer::start(TestOptions::new(database.url())).await;
        let scene = scene(&server, [Reply::status(500)]).await;
        scene.after(&server, 1).await;
        let endpoint = server.store.endpoint_in_app(scene.app, "mine").await.expect("a read");
        let endpoint = endpoint.expect("the endpoint").id;
        server.stop().await;
        let store = TestStore::from_database(database).await;
        let failing = store.failing(scene.app, endpoint).await.expect("a read");
        assert_eq!(failing.map(|failing| failing.failures), Some(1));
    }
}
