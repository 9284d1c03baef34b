//! A receiver dies for an hour. The clock is the test's: the hour takes seconds.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use model::breaker::{State, Thresholds};
use model::{AppId, EndpointId, Timestamp};
use serde_json::{Value, json};
use testkit::receiver::{Receiver, Reply};
use testkit::{START, TestServer, on_both};

const MINUTE_MS: u64 = 60_000;
const MINUTES: u64 = 60;
/// Of the endpoint that dies, in deliveries a second.
const RATE: u64 = 10;

async fn endpoint(server: &TestServer, uid: &str, receiver: &Receiver, rate: Value) -> EndpointId {
    let wish = json!({"url": receiver.url("/hooks"), "uid": uid, "throttleRate": rate});
    let made = server.post("/api/v1/app/w7/endpoint", wish.to_string()).await;
    made.json["id"].as_str().expect("an id").parse().expect("an endpoint id")
}

async fn publish(server: &TestServer) {
    let message = r#"{"eventType": "contact.created", "payload": {"id": 7}}"#;
    assert_eq!(server.post("/api/v1/app/w7/msg", message).await.status, 202);
}

/// Every attempt on an endpoint: when it began, and whether it succeeded.
async fn attempts(server: &TestServer, uid: &str) -> Vec<(Timestamp, bool)> {
    let mut all = Vec::new();
    let mut iterator = String::new();
    loop {
        let path =
            format!("/api/v1/app/w7/attempt/endpoint/{uid}?limit=250&order=ascending{iterator}");
        let page = server.get(&path).await.json;
        for attempt in page["data"].as_array().expect("a list") {
            let at = Timestamp::parse_rfc3339(attempt["timestamp"].as_str().expect("a moment"));
            all.push((at.expect("a moment"), attempt["status"] == 0));
        }
        if page["done"] == true {
            all.sort();
            return all;
        }
        iterator = format!("&iterator={}", page["iterator"].as_str().expect("an iterator"));
    }
}

/// The endpoint that dies, and its app.
type Mortal = (AppId, EndpointId);

/// Whether what an attempt says of the breaker is still being written: that comes after its outcome,
/// and the clock must not run ahead of it.
async fn is_deciding(server: &TestServer, (app, endpoint): Mortal) -> bool {
    let limit = Thresholds::default().consecutive_failures;
    match server.store.breaker_of(app, endpoint).await.unwrap().state {
        State::Open => false,
        State::HalfOpen => true,
        State::Closed => {
            let path = format!("/api/v1/app/w7/attempt/endpoint/{endpoint}?limit={limit}");
            let last = server.get(&path).await.json;
            let last = last["data"].as_array().expect("a list");
            last.len() >= limit as usize && last.iter().all(|attempt| attempt["status"] != 0)
        }
    }
}

/// Moves the clock from one due time to the next until `until`, letting everything that is due end.
async fn let_pass(server: &TestServer, mortal: Mortal, until: Timestamp) {
    while server.clock.now() < until {
        settle_down(server, mortal).await;
        let due = server.store.next_due().await.unwrap().unwrap_or(until);
        server.clock.advance_to(due.max(server.clock.now().plus_ms(1)).min(until));
    }
    settle_down(server, mortal).await;
}

/// Waits until nothing is under way, nothing is due, and the breaker has made up its mind.
async fn settle_down(server: &TestServer, mortal: Mortal) {
    const MAX_LOOKS: usize = 100_000;
    for _ in 0..MAX_LOOKS {
        let due = server.store.next_due().await.unwrap();
        let is_due = due.is_some_and(|due| due <= server.clock.now());
        let is_quiet = !is_due && server.store.under_way().await.unwrap() == 0;
        if is_quiet && !is_deciding(server, mortal).await {
            return;
        }
        server.store.wake().ring_queue();
        tokio::task::yield_now().await;
    }
    panic!("it does not settle down");
}

on_both! {
    async fn a_receiver_that_dies_for_an_hour_loses_nothing(server: TestServer) {
        let (dying, healthy) = (Receiver::start().await, Receiver::start().await);
        let _ = server.post("/api/v1/app", r#"{"name": "Open House", "uid": "w7"}"#).await;
        let mortal = endpoint(&server, "mortal", &dying, json!(RATE)).await;
        endpoint(&server, "healthy", &healthy, Value::Null).await;
        let app = server.store.app(&store::AppRef::new("w7")).await.unwrap().unwrap().id;
        dying.always(Reply::reset());
        let limit = usize::try_from(Thresholds::default().consecutive_failures).unwrap();
        let mut published: BTreeMap<Timestamp, usize> = BTreeMap::new();
        for minute in 0..MINUTES {
            for _ in 0..12 {
                publish(&server).await;
                *published.entry(server.clock.now()).or_default() += 1;
            }
            let_pass(&server, (app, mortal), START.plus_ms((minute + 1) * MINUTE_MS)).await;
        }
        let changes = server.store.breaker_changes(app, mortal).await.unwrap();
        let opened = changes.last().expect("it has opened").at;
        let failed = attempts(&server, "mortal").await;
        assert!(failed.iter().all(|(_, succeeded)| !succeeded));
        let before = failed.iter().filter(|(at, _)| *at <= opened).count();
        // What is under way when it opens ends as it will.
        assert!((limit..=limit + 2).contains(&before), "{before} attempts before it opened");
        let probes = changes.iter().filter(|change| change.to == State::HalfOpen);
        assert_eq!(failed.len(), before + probes.count(), "then only probes");
        assert!(failed.len() < 30, "{} attempts were burnt in an hour", failed.len());

        // The neighbour was served in the very instant.
        let served = attempts(&server, "healthy").await;
        let mut starts: BTreeMap<Timestamp, usize> = BTreeMap::new();
        for (at, succeeded) in &served {
            assert!(succeeded);
            *starts.entry(*at).or_default() += 1;
        }
        assert_eq!(starts, published);

        // It lives again: everything arrives, within the rate, and nothing has been given up.
        dying.always(Reply::status(204));
        let recovered = server.clock.now();
        let_pass(&server, (app, mortal), recovered.plus_ms(40 * MINUTE_MS)).await;
        let all = 12 * usize::try_from(MINUTES).unwrap();
        let drained: Vec<Timestamp> = attempts(&server, "mortal")
            .await
            .into_iter()
            .filter_map(|(at, succeeded)| succeeded.then_some(at))
            .collect();
        assert_eq!(drained.len(), all);
        for (n, from) in drained.iter().enumerate() {
            let within = drained[n..].iter().filter(|at| at.since_ms(*from) < 1_000).count();
            assert!(within as u64 <= RATE, "{within} in a second");
        }
        let stats = server.get("/api/v1/app/w7/endpoint/mortal/stats").await.json;
        assert_eq!((&stats["success"], &stats["fail"]), (&json!(all), &json!(0)), "{stats}");
        let breaker = server.store.breaker_of(app, mortal).await.unwrap();
        assert_eq!(breaker.state, State::Closed);
        server.stop().await;
    }
}
