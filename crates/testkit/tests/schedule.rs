//! Three days of retries in milliseconds: the clock is moved from one due time to the next.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use model::delivery::State;
use model::retry::RetrySchedule;
use model::{AppId, DeliveryId};
use testkit::receiver::{Receiver, Reply};
use testkit::{START, TestServer, on_both};

/// Jitter, in percent of each pause.
const JITTER: u64 = 20;
const HOUR_MS: u64 = 3_600_000;

on_both! {
    async fn the_whole_schedule_runs_and_then_ends(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.always(Reply::status(500));
        let (app, delivery) = publish(&server, &receiver).await;
        let pauses = RetrySchedule::default().delays_ms().to_vec();
        let mut before = START;
        for (attempt, pause_ms) in (1..).zip(&pauses) {
            let received = receiver.next().await;
            assert_eq!(received.number + 1, attempt);
            let now = server.clock.now();
            let waited = now.since_ms(before);
            let (low, high) = (pause_ms * (100 - JITTER) / 100, pause_ms * (100 + JITTER) / 100);
            assert!((low..=high).contains(&waited), "attempt {attempt} came after {waited} ms");
            before = now;
            server.until_settled(u64::try_from(attempt).expect("small")).await;
            let row = server.store.delivery_in_app(app, delivery).await.expect("a read");
            let row = row.expect("the delivery").delivery;
            assert_eq!(usize::try_from(row.attempts).expect("small"), attempt);
            if attempt == pauses.len() {
                assert_eq!(row.state, State::Failed);
                break;
            }
            assert_eq!(row.state, State::Queued);
            server.clock.advance_to(row.due_at);
        }
        let hours = server.clock.now().since_ms(START) / HOUR_MS;
        assert!((60..=91).contains(&hours), "the schedule took {hours} hours");
        assert_eq!(receiver.requests().len(), pauses.len());
        server.stop().await;
    }

    async fn an_outage_is_outlived(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.script((0..8).map(|_| Reply::status(500)));
        let (app, delivery) = publish(&server, &receiver).await;
        for settled in 1..=9 {
            receiver.next().await;
            server.until_settled(settled).await;
            let row = server.store.delivery_in_app(app, delivery).await.expect("a read");
            server.clock.advance_to(row.expect("the delivery").delivery.due_at);
        }
        let row = server.store.delivery_in_app(app, delivery).await.expect("a read");
        assert_eq!(row.expect("the delivery").delivery.state, State::Succeeded);
        server.stop().await;
    }

    async fn retry_after_is_waited_for_in_full(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.script([Reply::retry_after(503, "7200")]);
        let (app, delivery) = publish(&server, &receiver).await;
        receiver.next().await;
        server.until_settled(1).await;
        let row = server.store.delivery_in_app(app, delivery).await.expect("a read");
        let due = row.expect("the delivery").delivery.due_at;
        let asked = START.plus_ms(2 * HOUR_MS);
        let latest = START.plus_ms(2 * HOUR_MS * 110 / 100);
        assert!(asked <= due && due <= latest, "due {due}");
        server.clock.advance_to(due);
        receiver.next().await;
        server.until_settled(2).await;
        server.stop().await;
    }
}

async fn publish(server: &TestServer, receiver: &Receiver) -> (AppId, DeliveryId) {
    let app = server.post("/api/v1/app", r#"{"name": "Open House", "uid": "w7"}"#).await;
    let app: AppId = app.json["id"].as_str().expect("an id").parse().expect("an app id");
    let wish = serde_json::json!({"url": receiver.url("/hooks")});
    assert_eq!(server.post("/api/v1/app/w7/endpoint", wish.to_string()).await.status, 201);
    let message = r#"{"eventType": "contact.created", "payload": {"id": 7}}"#;
    assert_eq!(server.post("/api/v1/app/w7/msg", message).await.status, 202);
    let list = server.get("/api/v1/app/w7/delivery").await;
    let id = list.json["data"][0]["id"].as_str().expect("an id");
    (app, id.parse().expect("a delivery id"))
}
