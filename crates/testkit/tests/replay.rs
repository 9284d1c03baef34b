//! A replay of many beside new traffic, through a whole server that dies in the middle without a
//! word: every delivery that was selected is replayed exactly once.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use model::Clock;
use serde_json::{Value, json};
use testkit::databases::{TestDatabase, run_test};
use testkit::receiver::Receiver;
use testkit::server::TestOptions;
use testkit::{START, TestServer};

const MESSAGES: usize = 150;

#[test]
fn a_replay_survives_a_crash_on_sqlite() {
    run_test(async { survives(TestDatabase::sqlite()).await });
}

#[test]
fn a_replay_survives_a_crash_on_postgres() {
    run_test(async { survives(TestDatabase::postgres().await).await });
}

async fn survives(database: TestDatabase) {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(START);
    let options = |seed| {
        let mut options = TestOptions::new(database.url());
        (options.clock, options.seed) = (clock.clone(), seed);
        options
    };
    let server = TestServer::start(options(1)).await;
    let app = id(&server.post("/api/v1/app", r#"{"name": "Open House"}"#).await.json);
    for path in ["/one", "/two"] {
        let wish = json!({"url": receiver.url(path)}).to_string();
        assert_eq!(server.post(&format!("/api/v1/app/{app}/endpoint"), wish).await.status, 201);
    }
    publish(&server, &app, MESSAGES).await;
    receiver.until_received(2 * MESSAGES).await;
    clock.advance_to(START.plus_ms(1_000));

    let wish = json!({"since": "2026-11-24T07:00:00Z", "reason": "a test"}).to_string();
    let replay = server.post(&format!("/api/v1/app/{app}/replay"), wish).await;
    assert_eq!((replay.status, &replay.json["progress"]["selected"]), (202, &json!(2 * MESSAGES)));
    let path = format!("/api/v1/app/{app}/replay/{}", id(&replay.json));
    clock.advance_to(START.plus_ms(2_000));
    // In the middle, with deliveries under way, it is gone.
    receiver.until_received(2 * MESSAGES + MESSAGES / 2).await;
    drop(server);

    let server = TestServer::start(options(2)).await;
    publish(&server, &app, 10).await;
    // The leases of the dead one run out.
    let seen = until(&server, &clock, &path, |seen| {
        seen["state"] == "finished" && seen["outcome"]["pending"] == 0
    })
    .await;
    let outcome = &seen["outcome"];
    assert_eq!(seen["progress"]["made"], json!(2 * MESSAGES));
    assert_eq!(outcome["made"], json!(2 * MESSAGES));
    assert_eq!(outcome["succeeded"], json!(2 * MESSAGES));
    let children = children(&server, &app, &id(&seen)).await;
    assert_eq!(children.len(), 2 * MESSAGES, "each was replayed");
    assert!(children.values().all(|count| *count == 1), "and once");
    server.stop().await;
}

fn id(json: &Value) -> String {
    json["id"].as_str().expect("an id").to_owned()
}

async fn publish(server: &TestServer, app: &str, count: usize) {
    let message = json!({"eventType": "contact.created", "payload": {}});
    let batch = json!({"messages": vec![message; count]}).to_string();
    let answer = server.post(&format!("/api/v1/app/{app}/msg/batch"), batch).await;
    assert!(answer.status < 300, "{answer:?}");
}

/// Looks again after each settlement, and lets time pass when there is none.
async fn until(
    server: &TestServer,
    clock: &Clock,
    path: &str,
    is_there: impl Fn(&Value) -> bool,
) -> Value {
    let mut settled = server.store.wake().settled();
    for _ in 0..5_000 {
        let seen = server.get(path).await.json;
        if is_there(&seen) {
            return seen;
        }
        let change = settled.changed();
        if tokio::time::timeout(std::time::Duration::from_millis(50), change).await.is_err() {
            clock.advance_to(clock.now().plus_ms(1_000));
        }
    }
    panic!("it never ends: {}", server.get(path).await.json);
}

/// How many children each parent has in a replay.
async fn children(server: &TestServer, app: &str, replay: &str) -> BTreeMap<String, usize> {
    let mut children = BTreeMap::new();
    let mut iterator = String::new();
    loop {
        let path =
            format!("/api/v1/app/{app}/delivery?order=ascending&limit=250&iterator={iterator}");
        let page = server.get(&path).await.json;
        for delivery in page["data"].as_array().expect("a list") {
            if delivery["replayId"] == replay {
                let parent = delivery["parentId"].as_str().expect("a parent").to_owned();
                *children.entry(parent).or_default() += 1;
            }
        }
        if page["done"] == true {
            return children;
        }
        iterator = page["iterator"].as_str().expect("an iterator").to_owned();
    }
}
