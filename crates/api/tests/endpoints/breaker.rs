//! Breakers by hand, their thresholds, and what is told of them.

use axum::http::Method;
use serde_json::{Value, json};
use testkit::on_both;

use crate::invalid;
use crate::world::{World, no_such};

const BREAKER: &str = "/app/one/endpoint/mine/breaker";

async fn set_up(world: &World) {
    world.app_called("one").await;
    let wish = json!({"url": "https://example.com", "uid": "mine"});
    world.post("/app/one/endpoint", &wish).await.ok();
}

on_both! {
    async fn one_that_never_opened_is_closed(world: World) {
        set_up(&world).await;
        let breaker = world.get(BREAKER).await.ok();
        assert_eq!((&breaker["state"], &breaker["since"]), (&json!("closed"), &Value::Null));
        assert_eq!(breaker["history"], json!([]));
        assert_eq!(breaker["thresholds"]["own"]["probes"], Value::Null);
        assert_eq!(breaker["thresholds"]["inEffect"]["consecutiveFailures"], 10);
        let closing = world.post(&format!("{BREAKER}/close"), &json!({"reason": "x"})).await;
        assert_eq!((closing.status, &closing.json()["code"]), (409, &json!("not_active")));
    }

    async fn opened_by_hand_it_holds_and_says_so(world: World) {
        set_up(&world).await;
        let until = "2026-11-24T09:00:00.000Z";
        let wish = json!({"reason": "The receiver moves", "until": until});
        let open = world.post(&format!("{BREAKER}/open"), &wish).await.ok();
        assert_eq!((&open["state"], &open["until"]), (&json!("open"), &json!(until)));
        assert_eq!((&open["byHand"], &open["reason"]), (&json!(true), &wish["reason"]));
        assert_eq!(open["history"][0]["to"], "open");
        assert!(open["history"][0]["by"].is_string());
        let message = world.publish("one").await;
        assert!(world.starting().await.is_empty());
        let deliveries = world.get("/app/one/delivery").await.ids();
        let path = format!("/app/one/delivery/{}/explain", deliveries[0]);
        let explained = world.get(&path).await.ok();
        assert_eq!(explained["reasons"][0]["code"], "breaker_open");
        let summary = explained["summary"].as_str().unwrap();
        assert!(summary.contains("The receiver moves") && summary.contains(until), "{summary}");
        assert_eq!(explained["nextAttemptAt"], until);
        let path = format!("/app/one/msg/{message}/explain?endpoint=mine");
        let explained = world.get(&path).await.ok();
        assert_eq!(explained["reasons"][1]["code"], "breaker_open", "{explained}");
        let wish = json!({"reason": "It has moved"});
        let closed = world.post(&format!("{BREAKER}/close"), &wish).await.ok();
        assert_eq!((&closed["state"], &closed["until"]), (&json!("closed"), &Value::Null));
        assert_eq!(world.starting().await.len(), 1);
        let log = world.get("/audit-log?action=breaker").await.ok();
        assert_eq!(log["data"].as_array().unwrap().len(), 2, "{log}");
    }

    async fn what_makes_no_sense_is_refused(world: World) {
        set_up(&world).await;
        let open = format!("{BREAKER}/open");
        let answer = world.post(&open, &json!({"reason": " "})).await;
        assert_eq!(answer.whole(), invalid("reason", "must say why"));
        let past = json!({"reason": "x", "until": "2020-01-01T00:00:00Z"});
        assert_eq!(world.post(&open, &past).await.whole(), invalid("until", "must lie ahead"));
        let answer = world.put(BREAKER, &json!({"probes": 0})).await;
        assert_eq!(answer.whole(), invalid("probes", "must be 1 to 100"));
        let answer = world.put("/app/one/breaker", &json!({"openMs": 10})).await;
        assert_eq!(answer.whole(), invalid("openMs", "must be 1000 to 86400000"));
        assert_eq!(world.put(BREAKER, &json!({"probe": 1})).await.status, 422);
    }

    async fn thresholds_of_an_endpoint_go_before_its_applications(world: World) {
        set_up(&world).await;
        let app = world.put("/app/one/breaker", &json!({"probes": 3, "openMs": 5000})).await.ok();
        assert_eq!(app["inEffect"]["probes"], 3);
        assert_eq!(world.get("/app/one/breaker").await.ok(), app);
        let breaker = world.put(BREAKER, &json!({"probes": 2})).await.ok();
        assert_eq!(breaker["thresholds"]["inEffect"]["probes"], 2);
        assert_eq!(breaker["thresholds"]["inEffect"]["openMs"], 5000);
        assert_eq!(breaker["thresholds"]["own"]["openMs"], Value::Null);
        assert_eq!(world.delete(BREAKER).await.status, 204);
        let breaker = world.get(BREAKER).await.ok();
        assert_eq!(breaker["thresholds"]["inEffect"]["probes"], 3);
    }

    async fn nobody_elses_is_found(world: World) {
        set_up(&world).await;
        world.app_called("two").await;
        let path = "/app/two/endpoint/mine/breaker";
        for (method, path) in [
            (Method::GET, path.to_owned()),
            (Method::PUT, path.to_owned()),
            (Method::DELETE, path.to_owned()),
            (Method::POST, format!("{path}/open")),
            (Method::POST, format!("{path}/close")),
        ] {
            let answer = world.call(method, &path, r#"{"reason": "x"}"#).await;
            assert_eq!(answer.whole(), no_such("endpoint"), "{path}");
        }
    }
}
