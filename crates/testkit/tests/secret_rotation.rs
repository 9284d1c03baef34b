//! Rotation under load: while messages flow, a secret is rotated three times, once to another kind
//! and back. A receiver that stays with the old secret and one that changes at once both verify
//! everything until the grace is over; after it the old one verifies nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::sync::Arc;

use model::secret::CheckOutcome;
use model::signature::{Secret, Signed, Signer, verify};
use model::{AppId, Timestamp};
use serde_json::{Value, json};
use store::Store;
use testkit::receiver::{Received, Receiver, Reply};
use testkit::test_store::new_message;
use testkit::{TestServer, on_both};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const ROTATIONS: usize = 3;
const PUBLISHERS: usize = 8;
/// Of one publisher, before and after each rotation, and again after its grace.
const MESSAGES: usize = 25;
const GRACE_S: u64 = 3_600;

async fn publish(store: &Store, app: AppId) -> Vec<String> {
    let mut ids = Vec::with_capacity(MESSAGES);
    for _ in 0..MESSAGES {
        ids.push(store.ingest(new_message(app)).await.expect("a message").id.to_string());
    }
    ids
}

/// Sends on while the secret is rotated; answers what it sent after that.
async fn publisher(store: Store, app: AppId, barrier: Arc<Barrier>) -> Vec<String> {
    publish(&store, app).await;
    barrier.wait().await;
    publish(&store, app).await;
    barrier.wait().await;
    publish(&store, app).await
}

struct Scene {
    server: TestServer,
    receiver: Receiver,
    app: AppId,
    endpoint: String,
}

impl Scene {
    async fn new(server: TestServer) -> Self {
        let receiver = Receiver::start().await;
        let app =
            server.post("/api/v1/app", json!({"name": "one", "uid": "one"}).to_string()).await;
        let app: AppId = app.json["id"].as_str().expect("an id").parse().expect("an id");
        let wish = json!({ "url": receiver.url("/hook") }).to_string();
        let made = server.post("/api/v1/app/one/endpoint", wish).await;
        let endpoint = made.json["id"].as_str().expect("an id").to_owned();
        Self { server, receiver, app, endpoint }
    }

    fn path(&self, what: &str) -> String {
        format!("/api/v1/app/one/endpoint/{}/secret{what}", self.endpoint)
    }

    async fn secret(&self) -> Secret {
        let reply = self.server.get(&self.path("")).await;
        Secret::parse(reply.json["key"].as_str().expect("a key")).expect("a secret")
    }

    async fn rotate(&self, kind: &str) -> Secret {
        let wish = json!({"kind": kind, "gracePeriodSeconds": GRACE_S}).to_string();
        let reply = self.server.post(&self.path("/rotate"), wish).await;
        assert_eq!(reply.status, 200, "{:?}", reply.json);
        Secret::parse(reply.json["key"].as_str().expect("a key")).expect("a secret")
    }

    /// What arrived by now, once that is `count` requests.
    async fn arrived(&self, count: usize) -> Vec<Received> {
        self.receiver.until_received(count).await
    }
}

fn verifies(secret: &Secret, received: &Received, now: Timestamp) -> bool {
    let header = |name: &str| received.header(name).expect("a header");
    let signed = Signed {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body: &received.body,
    };
    verify(&[Signer::new(secret)], signed, now).is_ok()
}

on_both! {
    async fn nobody_is_lost_in_three_rotations_under_load(server: TestServer) {
        let scene = Scene::new(server).await;
        let mut count = 0;
        for (_, kind) in (0..ROTATIONS).zip(["hmac", "ed25519", "hmac"]) {
            let old = scene.secret().await;
            let barrier = Arc::new(Barrier::new(PUBLISHERS + 1));
            let mut publishers = JoinSet::new();
            for _ in 0..PUBLISHERS {
                let store = scene.server.store.clone();
                publishers.spawn(publisher(store, scene.app, barrier.clone()));
            }
            barrier.wait().await;
            let new = scene.rotate(kind).await;
            barrier.wait().await;
            let after: HashSet<String> =
                publishers.join_all().await.into_iter().flatten().collect();
            let before = count;
            count += 3 * PUBLISHERS * MESSAGES;
            let now = scene.server.clock.now();
            for received in &scene.arrived(count).await[before..] {
                assert!(verifies(&old, received, now), "the old-only receiver refuses");
                let id = received.header("webhook-id").expect("an id").to_owned();
                if after.contains(&id) {
                    assert!(verifies(&new, received, now), "the new-only receiver refuses");
                }
            }

            let now = now.plus_ms(GRACE_S * 1_000);
            scene.server.clock.advance_to(now);
            publish(&scene.server.store, scene.app).await;
            let before = count;
            count += MESSAGES;
            for received in &scene.arrived(count).await[before..] {
                assert!(verifies(&new, received, now));
                assert!(!verifies(&old, received, now), "the old one is good after its grace");
            }
        }
        let history = scene.server.get(&scene.path("/history")).await.json;
        let states: Vec<&str> = history["data"].as_array().expect("a list").iter()
            .map(|secret| secret["state"].as_str().expect("a state")).collect();
        assert_eq!(states, ["current", "expired", "expired", "expired"]);
        scene.server.stop().await;
    }

    async fn a_check_tells_receivers_apart(server: TestServer) {
        let scene = Scene::new(server).await;
        scene.rotate("hmac").await;
        let cases = [
            (vec![Reply::status(204), Reply::status(401)], CheckOutcome::Accepted, 2),
            (vec![Reply::status(401)], CheckOutcome::Refused, 1),
            (vec![Reply::status(200), Reply::status(200)], CheckOutcome::DoesNotVerify, 2),
            (vec![Reply::status(503)], CheckOutcome::Unreachable, 1),
        ];
        let secret = scene.secret().await;
        let mut count = 0;
        for (replies, outcome, requests) in cases {
            scene.receiver.script(replies);
            let asked = scene.server.post(&scene.path("/check"), Vec::new()).await;
            assert_eq!(asked.status, 202, "{:?}", asked.json);
            count += requests;
            let received = &scene.arrived(count).await[count - requests..];
            let now = scene.server.clock.now();
            assert!(verifies(&secret, &received[0], now));
            let signature = received[0].header("webhook-signature").expect("a header");
            assert_eq!(signature.split(' ').count(), 1, "signed with the new secret alone");
            if let Some(wrong) = received.get(1) {
                assert!(!verifies(&secret, wrong, now));
            }
            let told = until_done(&scene).await;
            assert_eq!(told["outcome"], json!(outcome), "{told}");
            assert_eq!(told["fingerprint"], secret.fingerprint());
        }
        let history = scene.server.get(&scene.path("/history")).await.json;
        assert_eq!(history["data"][0]["check"]["outcome"], "unreachable");
        assert_eq!(history["data"][1]["check"], Value::Null);
        scene.server.stop().await;
    }

    async fn a_policy_is_kept_by_the_engine(server: TestServer) {
        let scene = Scene::new(server).await;
        let operator = Receiver::start().await;
        let wish = json!({"name": "operations", "uid": "operations"}).to_string();
        assert_eq!(scene.server.post("/api/v1/app", wish).await.status, 201);
        let wish = json!({"url": operator.url("/")}).to_string();
        let made = scene.server.post("/api/v1/app/operations/endpoint", wish).await;
        assert_eq!(made.status, 201);
        let wish = json!({"everyDays": 30, "graceSeconds": 86_400, "noticeDays": 7}).to_string();
        let path = scene.path("/policy");
        let put = scene.server.call(http::Method::PUT, &path, &[], wish.into());
        assert_eq!(put.await.json["source"], "endpoint");
        let first = scene.secret().await;
        let in_days = |days: u64| scene.server.clock.now().plus_ms(days * 24 * 3_600_000);
        let rotates_at = in_days(30).to_rfc3339();
        scene.server.clock.advance_to(in_days(23));
        let due = told(&operator, "endpoint.secret.rotation_due").await;
        assert_eq!(due["data"]["rotatesAt"], rotates_at);
        scene.server.clock.advance_to(in_days(7));
        let rotated = told(&operator, "endpoint.secret.rotated").await;
        assert_eq!(rotated["data"]["reason"], "policy");
        assert_eq!(rotated["data"]["fingerprint"], scene.secret().await.fingerprint());
        assert_eq!(rotated["data"]["endpointId"], scene.endpoint);
        assert_ne!(scene.secret().await.fingerprint(), first.fingerprint());
        scene.server.stop().await;
    }
}

/// The next event of this type that the operator's receiver gets.
async fn told(operator: &Receiver, event_type: &str) -> Value {
    loop {
        let body = operator.next().await.body;
        let event: Value = serde_json::from_slice(&body).expect("JSON");
        if event["type"] == event_type {
            return event;
        }
    }
}

async fn until_done(scene: &Scene) -> Value {
    let waited = tokio::time::timeout(testkit::receiver::WAIT_MAX, async {
        loop {
            let told = scene.server.get(&scene.path("/check")).await.json;
            if told["status"] == "done" {
                return told;
            }
        }
    });
    waited.await.expect("the check is done")
}
