//! Enabling and disabling, with what is caught up.

use axum::http::Method;
use model::endpoint::DisabledReason;
use model::replay::{Kind, Selection};
use serde_json::{Value, json};
use store::After;
use testkit::{by, on_both};

use crate::invalid;
use crate::world::World;

const PATH: &str = "/app/one/endpoint/mine";

async fn one_endpoint(world: &World) {
    world.app_called("one").await;
    world.put(PATH, &json!({"url": "https://example.com/"})).await.ok();
}

async fn enable(world: &World, wish: &Value) -> Value {
    world.post(&format!("{PATH}/enable"), wish).await.ok()
}

async fn disable(world: &World, wish: &Value) -> Value {
    world.post(&format!("{PATH}/disable"), wish).await.ok()
}

/// Runs the only task, with a receiver that takes everything; answers how many it made.
async fn caught_up(world: &World) -> usize {
    let [mut task] = world.running_tasks().await.unwrap().try_into().expect("one task");
    let mut made = 0;
    for _ in 0..100 {
        if let store::Step::Wait(due) = world.step_task(&mut task).await.unwrap() {
            world.clock.advance_to(due);
        }
        for lease in world.starting().await {
            made += 1;
            assert!(world.settle(lease.settlement(None, After::Succeeded)).await.unwrap());
        }
        if task.status.is_final() {
            return made;
        }
        world.advance_ms(1_000);
    }
    panic!("it never catches up");
}

on_both! {
    async fn a_reason_is_kept_with_who_is_disabled(world: World) {
        one_endpoint(&world).await;
        let disabled = disable(&world, &json!({"reason": "moves house"})).await;
        let fields = ["disabled", "disabledReason", "disabledNote", "disabledAt"];
        let of = |endpoint: &Value| fields.map(|field| endpoint[field].clone());
        let expected =
            [json!(true), json!("by_hand"), json!("moves house"), json!("2026-11-24T08:00:00.000Z")];
        assert_eq!(of(&disabled), expected);
        world.advance_ms(5_000);
        assert_eq!(of(&disable(&world, &json!({"reason": "another"})).await), expected);
        assert_eq!(of(&world.get(PATH).await.ok()), expected);
        let enabled = enable(&world, &json!({})).await;
        assert_eq!(of(&enabled), [json!(false), Value::Null, Value::Null, Value::Null]);
        assert_eq!(enabled["catchUp"], Value::Null);
        assert!(world.running_tasks().await.unwrap().is_empty());
    }

    async fn neither_needs_a_body(world: World) {
        one_endpoint(&world).await;
        let path = |verb: &str| format!("{PATH}/{verb}");
        let disabled = world.call(Method::POST, &path("disable"), axum::body::Body::empty()).await;
        assert_eq!(disabled.ok()["disabled"], true);
        let enabled = world.call(Method::POST, &path("enable"), axum::body::Body::empty()).await;
        assert_eq!(enabled.ok()["disabled"], false);
    }

    async fn what_was_published_meanwhile_is_caught_up(world: World) {
        one_endpoint(&world).await;
        world.publish("one").await;
        let lease = world.only_starting().await;
        assert!(world.settle(lease.settlement(None, After::Succeeded)).await.unwrap());
        world.advance_ms(1_000);
        disable(&world, &json!({})).await;
        let since = world.clock.now();
        for _ in 0..3 {
            world.publish("one").await;
            world.advance_ms(1_000);
        }
        assert!(world.starting().await.is_empty());
        let enabled = enable(&world, &json!({"catchUp": true})).await;
        let [task] = world.running_tasks().await.unwrap().try_into().expect("one task");
        assert_eq!(enabled["catchUp"]["id"], task.id.to_string());
        let endpoint = world.stored().await;
        let (kind, plan) = task.work.plan().expect("a replay");
        let until = world.clock.now().plus_ms(1);
        let selection = Selection::new(endpoint.app_id, since, until).at(endpoint.id);
        assert_eq!((kind, &plan.selection), (Kind::Missing, &selection));
        assert_eq!(plan.options.rate_per_s, Some(world.thresholds().drain_rate));
        assert_eq!(caught_up(&world).await, 3);

        // Asked for once more, it finds nothing.
        let again = json!({"catchUp": true, "since": since.to_rfc3339()});
        assert!(enable(&world, &again).await["catchUp"]["id"].is_string());
        assert_eq!(caught_up(&world).await, 0);
    }

    async fn the_endpoints_own_rate_bounds_it(world: World) {
        one_endpoint(&world).await;
        world.patch(PATH, &json!({"throttleRate": 3})).await.ok();
        disable(&world, &json!({})).await;
        world.advance_ms(1_000);
        enable(&world, &json!({"catchUp": true})).await;
        let [task] = world.running_tasks().await.unwrap().try_into().expect("one task");
        assert_eq!(task.work.plan().expect("a replay").1.options.rate_per_s, Some(3));
    }

    async fn what_cannot_be_caught_up_is_refused(world: World) {
        one_endpoint(&world).await;
        let answer = world.post(&format!("{PATH}/enable"), &json!({"catchUp": true})).await;
        let why = "is needed to catch up: the endpoint is not disabled";
        assert_eq!(answer.whole(), invalid("since", why));
        disable(&world, &json!({})).await;
        let future = json!({"catchUp": true, "since": "2027-01-01T00:00:00Z"});
        let answer = world.post(&format!("{PATH}/enable"), &future).await;
        let why = "must lie before until, which is now if left out";
        assert_eq!(answer.whole(), invalid("since", why));
        assert!(world.stored().await.disabled.is_some(), "nothing was done");
        let long = json!({"reason": "x".repeat(257)});
        assert_eq!(world.post(&format!("{PATH}/disable"), &long).await.status, 422);
    }

    async fn an_edit_does_not_enable_what_was_disabled_meanwhile(world: World) {
        one_endpoint(&world).await;
        let seen = world.stored().await;
        let gone = DisabledReason::Gone;
        assert!(world.disable_endpoint_if_enabled(seen.app_id, seen.id, gone, &by()).await.unwrap());
        let mut wished = seen.clone();
        wished.description = "new".to_owned();
        let saved = world.edit_endpoint(&seen, &wished, &by()).await.unwrap().expect("no uid");
        assert_eq!(saved.disabled.as_ref().map(|disabled| disabled.reason), Some(gone));
        assert_eq!(saved, world.stored().await);
        assert_eq!(saved.description, "new");
        // And so over the API, which names it.
        world.patch(PATH, &json!({"description": "newer"})).await.ok();
        assert!(world.stored().await.disabled.is_some());
        world.patch(PATH, &json!({"disabled": false})).await.ok();
        assert!(world.stored().await.disabled.is_none());
    }
}
